import { PseudolakeError } from '../../lib/core/errors.ts'
import { checkConfig } from '../../pipelines/config/check.ts'
import { convertConfig } from '../../pipelines/config/convert.ts'
import { type Explained, explainConfig } from '../../pipelines/config/explain.ts'
import { loadTree } from '../../pipelines/config/load.ts'
import { batchSchema, streamSchema } from '../../pipelines/config/schema.ts'
import type { Arguments, Command, Io } from '../command.ts'
import { readText } from '../config-file.ts'
import { bytes, table } from '../output/text.ts'
import { absolute } from '../paths.ts'

const FILE = [{ name: 'F', required: true, summary: 'The configuration, native or original, YAML or JSON' }]
const SET = {
  set: {
    type: 'string',
    value: 'KEY=VALUE',
    multiple: true,
    summary: 'Override a key, as for the run: --set limits.max_concurrency=8',
  },
} as const

export const configCheck: Command = {
  name: 'config check',
  summary: 'Say everything that is wrong with a configuration; nothing is read, asked or written',
  positionals: FILE,
  options: SET,
  examples: [
    ['pseudolake config check job.yaml', 'status 0: a run can begin; 2: what has to be corrected'],
    ['pseudolake config check job.yaml --set input.path=/data/today --json', 'with an override; for scripts'],
  ],
  async run(args, io) {
    const { file, source } = await read(args, io)
    const { form, kind, settings, problems, notes } = checkConfig(source, overrides(args, io), io.cwd)
    const [first] = problems
    if (first) throw refused(file, problems)
    const job = settings?.job ?? null
    return {
      exit: 0,
      json: { status: 'valid', config: file, form, job, problems: [], notes },
      text: [
        `${file} is valid: ${kind === 'stream' ? 'stream' : 'job'} ${job}, ${form} form`,
        ...notes.map((note) => `note: ${note}`),
      ].join('\n'),
    }
  },
}

export const configExplain: Command = {
  name: 'config explain',
  summary: 'Every setting as it holds, defaults included, with where it comes from',
  positionals: FILE,
  options: SET,
  examples: [
    ['pseudolake config explain job.yaml', 'key, value, and default, line, --set or environment'],
    ['pseudolake config explain job.yaml --json', 'for scripts; sizes in bytes, durations in milliseconds'],
  ],
  async run(args, io) {
    const { file, source } = await read(args, io)
    const settings = explainConfig(source, overrides(args, io))
    return {
      exit: 0,
      json: { config: file, settings },
      text: table(
        ['key', 'value', 'from'],
        settings.map((setting) => [setting.key, valueText(setting), originText(setting)]),
      ),
    }
  },
}

export const configSchema: Command = {
  name: 'config schema',
  summary: 'Print the JSON Schema of the native configuration, for editors',
  positionals: [{ name: 'F', required: false, summary: 'A configuration: the schema is of its kind, batch or stream' }],
  options: { stream: { type: 'boolean', summary: 'That of a stream, in the place of a batch run’s' } },
  examples: [
    [
      'pseudolake config schema > pseudolake.schema.json',
      'then `# yaml-language-server: $schema=…` in a job’s first line',
    ],
    ['pseudolake config schema --stream > pseudolake.stream.schema.json', 'the same for streams'],
  ],
  async run(args, io) {
    const isStream =
      args.flag('stream') || (args.positionals.length > 0 && loadTree((await read(args, io)).source).kind === 'stream')
    const schema = isStream ? streamSchema() : batchSchema()
    return { exit: 0, json: schema, text: JSON.stringify(schema, null, 2) }
  },
}

export const configConvert: Command = {
  name: 'config convert',
  summary: 'Print a configuration of the original form in the native one',
  positionals: [{ name: 'F', required: true, summary: 'The configuration in the original form' }],
  options: {},
  examples: [['pseudolake config convert original.yaml > job.yaml', 'the same job; each line says which key it was']],
  async run(args, io) {
    const { file, source } = await read(args, io)
    const { native, yaml, notes } = convertConfig(source)
    const cannot = checkConfig(yaml, {}, io.cwd).problems.map(({ message }) => message)
    for (const note of [...notes, ...cannot.map((problem) => `this version cannot run it: ${problem}`)])
      io.note(`note: ${note}`)
    return { exit: 0, json: { config: file, native, yaml, notes, problems: cannot }, text: yaml }
  },
}

async function read(args: Arguments, io: Io): Promise<{ file: string; source: string }> {
  const given = args.positionals[0] ?? ''
  const source = await readText(given, io, 'config/invalid', 'cannot read the configuration')
  return { file: absolute(io.cwd, given), source }
}

function overrides(args: Arguments, io: Io) {
  return { set: args.strings('set'), env: io.env }
}

/** One error for all problems: the first one's code and hint, everybody's message. */
function refused(file: string, problems: readonly PseudolakeError[]): PseudolakeError {
  const [first] = problems as [PseudolakeError]
  const said = problems.map(({ code, message }) => `${code}: ${message}`)
  const message = problems.length === 1 ? first.message : `${problems.length} problems\n  ${said.join('\n  ')}`
  const hint =
    problems.length === 1 ? first.context.hint : 'Correct each key that is named; docs/configuration.md lists them all.'
  return new PseudolakeError(first.code, `${file}: ${message}`, {
    ...first.context,
    ...(hint === undefined ? {} : { hint }),
    problems: said,
  })
}

function valueText({ key, value, is_set: isSet }: Explained): string {
  if (/_bytes$/.test(key) && typeof value === 'number') return `${value} (${bytes(value)})`
  const text = typeof value === 'string' ? value : JSON.stringify(value)
  return isSet === undefined ? text : `${text} (${isSet ? 'set' : 'not set'})`
}

function originText({ origin, line, from }: Explained): string {
  const at = line === undefined ? '' : `line ${line}`
  if (origin === 'file') return [at || 'the file', from].filter(Boolean).join(', ')
  if (origin === 'form') return 'the original form'
  return origin === 'default' ? 'default' : (from ?? origin)
}
