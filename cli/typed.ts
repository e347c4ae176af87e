import { shellWord } from '../lib/core/shell-word.ts'

/**
 * The command as it was typed, for errors that say what resolves them: it must mean the same job. What may be out of somebody's data, or the
 * secret of a URL, is left out, as logs keep errors.
 * @param options others that the job depends on, by name
 */
export function typed(
  name: string,
  config: string,
  set: readonly string[],
  options: Readonly<Record<string, string | number | boolean | undefined>> = {},
): string {
  const shown = set.map((setting) =>
    /null_values|:\/\/[^/\s]*@|:\/\/[^\s]*\?/.test(setting) ? `${setting.slice(0, setting.indexOf('='))}=…` : setting,
  )
  return [
    `pseudolake ${name} --config`,
    shellWord(config),
    ...shown.map((setting) => `--set ${shellWord(setting)}`),
    ...Object.entries(options).flatMap(([option, value]) => {
      if (value === undefined || value === false) return []
      return value === true ? [`--${option}`] : [`--${option} ${shellWord(String(value))}`]
    }),
  ].join(' ')
}
