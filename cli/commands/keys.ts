import { randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import { PseudolakeError } from '../../lib/core/errors.ts'
import { type KeyringData, summaryOf, wipe } from '../../lib/crypto/keyring.ts'
import { createKeyring, importOriginal } from '../../service/keys/create.ts'
import { loadKeyring, saveKeyring } from '../../service/keys/file.ts'
import type { Arguments, Command, Io, Outcome } from '../command.ts'
import { keyLines } from '../output/keys.ts'

const out = {
  type: 'string',
  value: 'F',
  required: true,
  summary: 'Where to write the keyring (mode 0600; never over another file)',
} as const

export const keysCreate: Command = {
  name: 'keys create',
  summary: 'Make a keyring with new keys.',
  options: {
    out,
    format: {
      type: 'string',
      value: 'FORMAT',
      choices: ['v2', 'original'],
      default: 'v2',
      summary: 'v2, or that of the original service (domain default only)',
    },
    domain: {
      type: 'string',
      value: 'D',
      multiple: true,
      default: 'default',
      summary: 'A domain with a key of its own: what is pseudonymized in two domains can’t be joined',
    },
  },
  examples: [
    ['pseudolake keys create --out keys.json', 'one domain, `default`'],
    ['pseudolake keys create --out keys.json --domain vehicle --domain customer', 'two domains that can’t be joined'],
  ],
  async run(args, io) {
    const format = args.string('format') === 'original' ? 'original' : 'v2'
    const domains = args.strings('domain')
    const data = createKeyring({
      format,
      ...(domains.length > 0 && { domains }),
      randomBytes,
      now: io.clock.wall(),
    })
    return save(required(args, 'out'), data, io)
  },
}

export const keysImport: Command = {
  name: 'keys import',
  summary: 'Make a keyring of a secret in the original format; it becomes the primary key of domain default.',
  positionals: [
    { name: 'SECRET.json', required: true, summary: 'The secret’s JSON, as the original key generator wrote it' },
  ],
  options: { out },
  examples: [
    ['pseudolake keys import secret.json --out keys.json', 'go on with the pseudonyms of the original service'],
  ],
  async run(args, io) {
    const secret = await readSecret(resolve(io.cwd, positional(args, 'SECRET.json')))
    return save(required(args, 'out'), importOriginal(secret, { now: io.clock.wall() }), io)
  },
}

export const keysShow: Command = {
  name: 'keys show',
  summary: 'List a keyring’s domains and keys; never the keys’ bytes.',
  positionals: [{ name: 'KEYRING', required: true, summary: 'The keyring’s file' }],
  options: {},
  examples: [['pseudolake keys show keys.json', 'domains, key ids, formats and states']],
  async run(args, io) {
    const file = positional(args, 'KEYRING')
    return shown(file, await loadKeyring(resolve(io.cwd, file)), [])
  },
}

async function save(file: string, data: KeyringData, io: Io): Promise<Outcome> {
  try {
    await saveKeyring(resolve(io.cwd, file), data, randomBytes)
  } finally {
    wipe(data)
  }
  const advice = 'Back it up (`pseudolake keys backup`): without it no pseudonym made with it can be taken back.'
  return shown(file, data, [`wrote ${file}`, advice])
}

function shown(file: string, data: KeyringData, before: readonly string[]): Outcome {
  wipe(data)
  const domains = summaryOf(data)
  return { exit: 0, json: { keyring: file, domains }, text: [...before, ...keyLines(domains)].join('\n') }
}

async function readSecret(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8')
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    throw new PseudolakeError('input/not-found', `${file}: can't be read (${code ?? 'unknown error'})`, { file })
  }
}

function required(args: Arguments, name: string): string {
  const value = args.string(name)
  if (value === undefined) throw new PseudolakeError('options/invalid', `--${name}: expected a value`, { option: name })
  return value
}

function positional(args: Arguments, name: string): string {
  const [value] = args.positionals
  if (value === undefined) throw new PseudolakeError('options/invalid', `${name}: expected a file`, { option: name })
  return value
}
