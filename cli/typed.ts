/**
 * The command as it was typed, for errors that say what resolves them: it must mean the same job. What may be out of somebody's data, or the
 * secret of a URL, is left out, as logs keep errors.
 */
export function typed(name: string, config: string, set: readonly string[]): string {
  const shown = set.map((setting) =>
    /null_values|:\/\/[^/\s]*@|:\/\/[^\s]*\?/.test(setting) ? `${setting.slice(0, setting.indexOf('='))}=…` : setting,
  )
  return [
    `pseudolake ${name} --config`,
    shellWord(config),
    ...shown.map((setting) => `--set ${shellWord(setting)}`),
  ].join(' ')
}

function shellWord(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`
}
