import type { Command } from './command.ts'

/** Every command, loaded when it is called: `pseudolake keys show` does not pay for the Parquet engine. */
export const COMMANDS: Readonly<Record<string, () => Promise<Command>>> = {
  demo: async () => (await import('./commands/demo.ts')).demo,
  batch: async () => (await import('./commands/batch.ts')).batch,
  stream: async () => (await import('./commands/stream.ts')).stream,
  'stream positions show': async () => (await import('./commands/stream-positions.ts')).streamPositionsShow,
  'stream positions reset': async () => (await import('./commands/stream-positions.ts')).streamPositionsReset,
  'quarantine list': async () => (await import('./commands/quarantine.ts')).quarantineList,
  'quarantine open': async () => (await import('./commands/quarantine.ts')).quarantineOpen,
  'quarantine replay': async () => (await import('./commands/quarantine.ts')).quarantineReplay,
  'quarantine purge': async () => (await import('./commands/quarantine.ts')).quarantinePurge,
  datagen: async () => (await import('./commands/datagen.ts')).datagen,
  produce: async () => (await import('./commands/produce.ts')).produce,
  'service start': async () => (await import('./commands/service.ts')).serviceStart,
  'service shadow': async () => (await import('./commands/shadow.ts')).serviceShadow,
  'keys create': async () => (await import('./commands/keys.ts')).keysCreate,
  'keys show': async () => (await import('./commands/keys.ts')).keysShow,
  'keys import': async () => (await import('./commands/keys.ts')).keysImport,
  'keys add': async () => (await import('./commands/keys-states.ts')).keysAdd,
  'keys rotate': async () => (await import('./commands/keys-states.ts')).keysRotate,
  'keys activate': async () => (await import('./commands/keys-states.ts')).keysActivate,
  'keys retire': async () => (await import('./commands/keys-states.ts')).keysRetire,
  'keys backup': async () => (await import('./commands/keys-backup.ts')).keysBackup,
  'keys restore': async () => (await import('./commands/keys-backup.ts')).keysRestore,
  'keys callers import': async () => (await import('./commands/callers.ts')).callersImport,
  'keys callers grant': async () => (await import('./commands/callers.ts')).callersGrant,
  'keys callers show': async () => (await import('./commands/callers.ts')).callersShow,
  'audit verify': async () => (await import('./commands/audit.ts')).auditVerify,
  'audit export': async () => (await import('./commands/audit.ts')).auditExport,
  'config check': async () => (await import('./commands/config.ts')).configCheck,
  'config explain': async () => (await import('./commands/config.ts')).configExplain,
  'config schema': async () => (await import('./commands/config.ts')).configSchema,
  'config convert': async () => (await import('./commands/config.ts')).configConvert,
  'table show': async () => (await import('./commands/table.ts')).tableShow,
  'table history': async () => (await import('./commands/table.ts')).tableHistory,
  'table files': async () => (await import('./commands/table.ts')).tableFiles,
  'table verify': async () => (await import('./commands/verify.ts')).tableVerify,
  'table compact': async () => (await import('./commands/table-compact.ts')).tableCompact,
  'table expire': async () => (await import('./commands/table-expire.ts')).tableExpire,
  query: async () => (await import('./commands/query.ts')).query,
}

/** The command that the first words name, three at most, and the words after them. */
export function find(words: readonly string[]): { name: string; rest: readonly string[] } | undefined {
  for (const length of [3, 2, 1]) {
    const name = words.slice(0, length).join(' ')
    if (words.length >= length && Object.hasOwn(COMMANDS, name)) return { name, rest: words.slice(length) }
  }
  return undefined
}

export async function allCommands(): Promise<Command[]> {
  return Promise.all(Object.values(COMMANDS).map((load) => load()))
}
