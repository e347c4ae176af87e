import { randomBytes } from 'node:crypto'
import { resolve } from 'node:path'
import { PseudolakeError } from '../../lib/core/errors.ts'
import { type DomainSummary, type KeyringData, summaryOf, wipe } from '../../lib/crypto/keyring.ts'
import { createKeyring } from '../../service/keys/create.ts'
import { changeKeyring } from '../../service/keys/file.ts'
import { activateKey, addDomains, retireKey, rotateKeys, unretireKey } from '../../service/keys/states.ts'
import type { Arguments, Command, Io, Outcome } from '../command.ts'
import { keyLines } from '../output/keys.ts'

/** The commands that take a key from one state to the next (docs/keys.md). */

const KEYRING = {
  name: 'KEYRING',
  required: true,
  summary: 'The keyring’s file; it is replaced whole or not at all',
} as const
const KEY = { name: 'KEY', required: true, summary: 'The key’s id (`pseudolake keys show`)' } as const

const domain = {
  type: 'string',
  value: 'D',
  multiple: true,
} as const

const RUNNING = 'A service that runs takes it over within seconds, or at once on SIGHUP.'

export const keysRotate: Command = {
  name: 'keys rotate',
  summary:
    'Give a domain a new key: it makes what is new, the one before goes back, and on where it is asked for by its id.',
  positionals: [KEYRING],
  options: {
    domain: { ...domain, summary: 'The domain; must be named where there are several' },
    pending: {
      type: 'boolean',
      summary: 'Leave the new key pending: for services of several instances (docs/keys.md)',
    },
  },
  examples: [
    ['pseudolake keys rotate keys.json', 'a new primary for the only domain'],
    [
      'pseudolake keys rotate keys.json --domain vehicle --pending',
      'a key for every instance to have before it is activated',
    ],
  ],
  async run(args, io) {
    const pending = args.flag('pending')
    const domains = args.strings('domain')
    const rotate = (data: KeyringData) => rotateKeys(data, { domains, pending, randomBytes, now: io.clock.wall() })
    return changed(args, io, rotate, (summary) =>
      pending
        ? ['Once every instance has it, `pseudolake keys activate` makes a key the primary:', ...pendingOf(summary)]
        : [
            RUNNING,
            'Tables go on with the key that they were begun with. Back the keyring up again (`pseudolake keys backup`).',
          ],
    )
  },
}

export const keysActivate: Command = {
  name: 'keys activate',
  summary: 'Make a pending or read-only key the primary of its domain; the one before becomes read-only.',
  positionals: [KEYRING, KEY],
  options: {},
  examples: [['pseudolake keys activate keys.json a1b2', 'the second step of a rotation, or the way back from one']],
  async run(args, io) {
    return changed(
      args,
      io,
      (data) => activateKey(data, key(args)),
      () => [RUNNING],
    )
  },
}

export const keysRetire: Command = {
  name: 'keys retire',
  summary:
    'End a key that is not the primary: nothing that was made with it goes back any more, and tables made with it can’t go on.',
  positionals: [KEYRING, KEY],
  options: { undo: { type: 'boolean', summary: 'Take a retirement back: the key is read-only then' } },
  examples: [
    ['pseudolake keys retire keys.json a1b2', 'the key stays in the file, and is loaded no more'],
    ['pseudolake keys retire keys.json a1b2 --undo', 'read-only again'],
  ],
  async run(args, io) {
    const change = args.flag('undo') ? unretireKey : retireKey
    return changed(
      args,
      io,
      (data) => change(data, key(args)),
      () => [RUNNING],
    )
  },
}

export const keysAdd: Command = {
  name: 'keys add',
  summary: 'Add domains to a keyring, each with a key of its own.',
  positionals: [KEYRING],
  options: { domain: { ...domain, required: true, summary: 'A domain that the keyring does not have yet' } },
  examples: [['pseudolake keys add keys.json --domain patient', 'a third domain beside two others']],
  async run(args, io) {
    const domains = args.strings('domain')
    const add = (data: KeyringData) => {
      const taken = summaryOf(data).flatMap(({ keys }) => keys.map(({ id }) => id))
      return addDomains(data, createKeyring({ domains, taken, randomBytes, now: io.clock.wall() }))
    }
    return changed(args, io, add, () => [RUNNING, 'Back the keyring up again (`pseudolake keys backup`).'])
  },
}

async function changed(
  args: Arguments,
  io: Io,
  change: (data: KeyringData) => KeyringData,
  advice: (summary: readonly DomainSummary[]) => readonly string[],
): Promise<Outcome> {
  const file = args.positionals[0] as string
  const data = await changeKeyring(resolve(io.cwd, file), change)
  wipe(data)
  const domains = summaryOf(data)
  return {
    exit: 0,
    json: { keyring: file, domains },
    text: [`changed ${file}`, ...keyLines(domains), ...advice(domains)].join('\n'),
  }
}

function key(args: Arguments): string {
  const id = args.positionals[1] as string
  if (/^[a-z0-9]{4}$/.test(id)) return id
  throw new PseudolakeError('options/invalid', 'KEY: expected a key id, 4 characters of a-z and 0-9', { option: 'KEY' })
}

function pendingOf(summary: readonly DomainSummary[]): string[] {
  return summary.flatMap(({ domain, keys }) =>
    keys.flatMap(({ id, state }) => (state === 'pending' ? [`${domain}  ${id}`] : [])),
  )
}
