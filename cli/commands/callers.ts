import { randomBytes } from 'node:crypto'
import { link, readFile, rename, unlink, writeFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import { PseudolakeError } from '../../lib/core/errors.ts'
import { type CallerEntry, parseCallers, parseEntries, writeCallers } from '../../service/callers/file.ts'
import { importGatewayKeys } from '../../service/callers/gateway.ts'
import { grantReidentify } from '../../service/callers/grant.ts'
import type { Arguments, Command, Io, Outcome } from '../command.ts'

const domain = {
  type: 'string',
  value: 'D',
  multiple: true,
  summary: 'A domain that they may work in; `*` for all',
} as const

export const callersImport: Command = {
  name: 'keys callers import',
  summary: 'Take over the callers of an existing API: hashed keys, and the right to pseudonymize alone.',
  positionals: [
    {
      name: 'EXPORT.json',
      required: true,
      summary: 'What `aws apigateway get-api-keys --include-values` printed; it holds keys, so remove it afterwards',
    },
  ],
  options: {
    out: {
      type: 'string',
      value: 'F',
      required: true,
      summary: 'Where to write the callers (never over another file)',
    },
    domain: { ...domain, default: 'default' },
    until: { type: 'string', value: 'T', summary: 'When all of them end, as 2027-01-31. No end by default' },
  },
  examples: [
    [
      'pseudolake keys callers import api-keys.json --out callers.json',
      'every enabled key may pseudonymize in domain default',
    ],
  ],
  async run(args, io) {
    const domains = args.strings('domain')
    const until = args.string('until')
    const { entries, disabled, renamed } = importGatewayKeys(await read(resolve(io.cwd, args.positionals[0] ?? '')), {
      ...(domains.length > 0 && { domains }),
      ...(until !== undefined && { until }),
    })
    const out = required(args, 'out')
    const text = writeCallers(entries)
    requireAhead(text, entries.at(-1)?.name, io)
    await create(resolve(io.cwd, out), text)
    const notes = [
      `wrote ${out}: ${entries.length} callers, none of whom may go back (\`keys callers grant\`)`,
      ...(disabled > 0 ? [`left out: ${disabled} that are disabled`] : []),
      ...(renamed > 0 ? [`called by their id: ${renamed}, whose names are taken or have other characters`] : []),
    ]
    return shown(out, entries, notes, { disabled, renamed })
  },
}

export const callersGrant: Command = {
  name: 'keys callers grant',
  summary: 'Let one caller reidentify, for purposes that are named and until a time.',
  positionals: [{ name: 'CALLERS.json', required: true, summary: 'The file of callers; it is written anew' }],
  options: {
    name: { type: 'string', value: 'NAME', required: true, summary: 'The caller' },
    purpose: {
      type: 'string',
      value: 'P',
      multiple: true,
      required: true,
      summary: 'What for; one of them must come as `x-pseudolake-purpose` with each request',
    },
    until: { type: 'string', value: 'T', required: true, summary: 'When the caller ends, as 2027-01-31T12:00:00Z' },
    domain: { ...domain, summary: 'The domains that it may work in from now on; as before by default' },
  },
  examples: [
    [
      'pseudolake keys callers grant callers.json --name "fraud desk" --purpose fraud-case --until 2027-01-31',
      'the service takes it up when it starts again',
    ],
  ],
  async run(args, io) {
    const file = args.positionals[0] ?? ''
    const path = resolve(io.cwd, file)
    const domains = args.strings('domain')
    const text = grantReidentify(await read(path), {
      name: required(args, 'name'),
      purposes: args.strings('purpose'),
      until: required(args, 'until'),
      ...(domains.length > 0 && { domains }),
    })
    requireAhead(text, args.string('name'), io)
    await replace(path, text)
    return shown(file, parseEntries(text).entries, [`wrote ${file}`], {})
  },
}

export const callersShow: Command = {
  name: 'keys callers show',
  summary: 'List callers and what they may do; never a key or its hash.',
  positionals: [{ name: 'CALLERS.json', required: true, summary: 'The file of callers' }],
  options: {},
  examples: [['pseudolake keys callers show callers.json', 'names, permissions, domains, purposes, ends']],
  async run(args, io) {
    const file = args.positionals[0] ?? ''
    const text = await read(resolve(io.cwd, file))
    const { unboundGrants } = parseCallers(text)
    const notes = unboundGrants.map((name) => `${name} may reidentify without a purpose or without an end`)
    return shown(file, parseEntries(text).entries, notes, { unbound_grants: unboundGrants })
  },
}

/** An end that is over already would lock the caller out of what it may do now. */
function requireAhead(text: string, name: string | undefined, { clock }: Io): void {
  const until = parseCallers(text).callers.find((caller) => caller.name === name)?.until
  if (until === undefined || until > clock.wall()) return
  throw new PseudolakeError('options/invalid', '--until: expected a time to come: the caller would end at once', {
    option: 'until',
  })
}

function shown(file: string, entries: readonly CallerEntry[], notes: readonly string[], more: object): Outcome {
  const callers = entries.map(({ key_sha256, ...entry }) => ({ ...entry, key: key_sha256 !== undefined }))
  const lines = entries.map(({ name, permissions, domains = ['default'], purposes, until }) =>
    [
      name,
      permissions.join(', '),
      `in ${domains.join(', ')}`,
      ...(purposes ? [`for ${purposes.join(', ')}`] : []),
      ...(until ? [`until ${until}`] : []),
    ].join('  '),
  )
  return { exit: 0, json: { file, callers, ...more }, text: [...notes, ...lines].join('\n') }
}

async function read(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8')
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    throw new PseudolakeError('input/not-found', `${file}: can't be read (${code ?? 'unknown error'})`, { file })
  }
}

/** Whole or not at all, and never over another one: a caller that is lost is locked out. */
async function create(file: string, text: string): Promise<void> {
  await throughTemporary(file, text, (temporary) => link(temporary, file))
}

async function replace(file: string, text: string): Promise<void> {
  await throughTemporary(file, text, (temporary) => rename(temporary, file))
}

async function throughTemporary(file: string, text: string, put: (temporary: string) => Promise<void>): Promise<void> {
  const temporary = `${file}.${randomBytes(6).toString('hex')}.tmp`
  try {
    await writeFile(temporary, text, { mode: 0o600, flush: true })
    await put(temporary)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'EEXIST')
      throw new PseudolakeError('options/invalid', `${file}: there is a file already; choose another --out`, { file })
    const ours = code === 'ENOSPC' || code === 'EDQUOT' ? 'storage/full' : 'storage/denied'
    throw new PseudolakeError(ours, `${file}: can't be written (${code ?? 'unknown error'})`, { file })
  } finally {
    await unlink(temporary).catch(() => undefined)
  }
}

function required(args: Arguments, name: string): string {
  const value = args.string(name)
  if (value === undefined) throw new PseudolakeError('options/invalid', `--${name}: expected a value`, { option: name })
  return value
}
