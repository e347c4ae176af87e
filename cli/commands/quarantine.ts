import { lstat } from 'node:fs/promises'
import { PseudolakeError } from '../../lib/core/errors.ts'
import { streamJob } from '../../pipelines/stream/job.ts'
import { type StreamPlaces, withPlaces } from '../../pipelines/stream/open.ts'
import {
  openObject,
  openQuarantine,
  purge,
  type QuarantinedObject,
  selected,
} from '../../pipelines/stream/quarantine/contents.ts'
import { openerOf } from '../../pipelines/stream/quarantine/opener.ts'
import { replay } from '../../pipelines/stream/quarantine/replay.ts'
import type { Opener } from '../../pipelines/stream/quarantine/sealed.ts'
import { x25519Opener } from '../../pipelines/stream/quarantine/x25519.ts'
import type { Arguments, Command, Io, Option } from '../command.ts'
import { readStream, readText } from '../config-file.ts'
import { count, table } from '../output/text.ts'
import { absolute } from '../paths.ts'
import { runId } from '../run-id.ts'
import { typed } from '../typed.ts'
import { version } from '../version.ts'
import { openOutside, resetCommand, STREAM_CONFIG } from './stream.ts'

const KEY: Option = {
  type: 'string',
  value: 'F',
  summary:
    'The recipient’s private key, PEM, in a file that nobody else can read; not for what is sealed for KMS, which is asked as the environment’s AWS identity',
}
const NAMES = [
  { name: '[NAME]', required: false, summary: 'One object, as `quarantine list` names it; all without it' },
]

export const quarantineList: Command = {
  name: 'quarantine list',
  summary: 'What a stream could not read: shards, sequence numbers and reasons, nothing of the records',
  options: STREAM_CONFIG,
  examples: [['pseudolake quarantine list --config stream.yaml', 'no key is needed for it']],
  async run(args, io) {
    const { job, places } = await read(args, io)
    return places(async (opened) => {
      const { objects } = await openQuarantine(job, opened)
      const sealed = objects.filter(({ status }) => status === 'sealed')
      const records = sealed.reduce((sum, object) => sum + object.records, 0)
      return {
        exit: sealed.length > 0 ? 1 : 0,
        json: { job: job.name, sealed: records, objects: objects.map(shown) },
        text: `${count(records)} records lie sealed\n${objects.length === 0 ? '' : listText(objects)}`,
      }
    })
  },
}

export const quarantineOpen: Command = {
  name: 'quarantine open',
  summary:
    'Print sealed records in clear, as JSON Lines (one document with --json); only who has the private key, or may ask KMS, can',
  positionals: NAMES,
  options: { ...STREAM_CONFIG, key: KEY },
  examples: [
    ['pseudolake quarantine open --config stream.yaml --key recipient.pem', 'data as text, or in base64'],
    ['AWS_PROFILE=auditor pseudolake quarantine open --config stream.yaml', 'where the recipient is a key of KMS'],
  ],
  async run(args, io) {
    const pem = await keyOf(args, io)
    const { job, places } = await read(args, io)
    return places(async (opened) => {
      const opener = openerIn(opened, pem)
      const { objects } = await openQuarantine(job, opened)
      // One document for `--json`, which a failure in the middle takes the place of.
      const kept: object[] = []
      let records = 0
      for (const object of selected(objects, args.positionals)) {
        if (object.status === 'purged' || object.status === 'gone') continue
        for (const { record, reason } of await openObject(opened.storage, object, opener)) {
          const { data, ...where } = record
          const clear = { ...where, reason, ...dataOf(data) }
          if (io.json) kept.push(clear)
          else io.out(JSON.stringify(clear))
          records++
        }
      }
      io.note(`${count(records)} records`)
      return { exit: 0, json: { job: job.name, records: kept }, text: '' }
    })
  },
}

export const quarantineReplay: Command = {
  name: 'quarantine replay',
  summary: 'Bring sealed records into the table after all, once schema or service take them',
  positionals: NAMES,
  options: { ...STREAM_CONFIG, key: KEY },
  examples: [
    ['pseudolake quarantine replay --config stream.yaml --key recipient.pem', 'each object once, whoever asks again'],
  ],
  async run(args, io) {
    const pem = await keyOf(args, io)
    const { job, places } = await read(args, io)
    const [config, set] = [args.string('config') ?? '', args.strings('set')]
    const report = await places((opened) =>
      replay(job, args.positionals, opened, {
        opener: openerIn(opened, pem),
        runId: runId(io.clock.wall()),
        createdBy: `pseudolake version ${version()}`,
        // Another key is accepted by the stream's own command, and then counts here too.
        command: typed('stream', config, set),
        resetCommand: resetCommand(config, set),
      }),
    )
    const bad = report.still_bad.map(({ name, reasons }) => `${name}: ${reasonText(reasons)}, left as it is`)
    return {
      exit: report.still_bad.length > 0 ? 1 : 0,
      json: report,
      text: [`${count(report.rows)} rows of ${report.objects} objects`, ...bad, ''].join('\n'),
    }
  },
}

export const quarantinePurge: Command = {
  name: 'quarantine purge',
  summary: 'Remove sealed records for good',
  positionals: NAMES,
  options: {
    ...STREAM_CONFIG,
    all: { type: 'boolean', summary: 'All of them, those that were not replayed too' },
    replayed: { type: 'boolean', summary: 'Those that were replayed' },
    reason: { type: 'string', value: 'TEXT', required: true, summary: 'Why; it is kept beside what was removed' },
  },
  examples: [
    [
      'pseudolake quarantine purge --config stream.yaml --replayed --reason "in the table"',
      'what is not needed any more',
    ],
  ],
  async run(args, io) {
    const reason = (args.string('reason') ?? '').trim()
    const which = [args.flag('all'), args.flag('replayed'), args.positionals.length > 0].filter(Boolean).length
    if (which !== 1 || reason === '')
      throw new PseudolakeError('options/invalid', 'expected one of NAME, --replayed and --all, and a --reason', {})
    const { job, places } = await read(args, io)
    return places(async (opened) => {
      const { objects } = await openQuarantine(job, opened)
      const chosen = selected(objects, args.positionals).filter(
        ({ status }) => !args.flag('replayed') || status === 'replayed',
      )
      const purged = await purge(opened.storage, chosen, { reason, wallMs: io.clock.wall() })
      return { exit: 0, json: { job: job.name, purged }, text: `${count(purged)} objects removed\n` }
    })
  },
}

async function read(args: Arguments, io: Io) {
  const settings = await readStream(args.string('config') ?? '', args.strings('set'), io)
  const job = streamJob(settings, io.cwd)
  return {
    job,
    places: <T>(work: (places: StreamPlaces) => Promise<T>) => withPlaces(settings, job, openOutside(io), work),
  }
}

/** @throws PseudolakeError `quarantine/unreadable` for a key that others can read, or that is none */
async function keyOf(args: Arguments, io: Io): Promise<string | undefined> {
  const given = args.string('key')
  if (given === undefined) return undefined
  const file = absolute(io.cwd, given)
  const stat = await lstat(file).catch(() => undefined)
  if (stat && (stat.mode & 0o077) !== 0)
    throw new PseudolakeError('quarantine/unreadable', `${file}: others than its owner can read it`, {
      file,
      hint: `chmod 600 ${file}`,
    })
  const pem = await readText(given, io, 'quarantine/unreadable', 'cannot read the key')
  // Before anything is asked: a file that is no key.
  x25519Opener(pem)
  return pem
}

function openerIn({ openingKeys }: StreamPlaces, pem: string | undefined): Opener {
  return openerOf({
    pem,
    kms(arn) {
      if (openingKeys) return openingKeys(arn)
      throw new PseudolakeError('internal/bug', 'places without KMS', {})
    },
  })
}

function shown({ sha256: _, sealedMs, ...object }: QuarantinedObject) {
  return { ...object, sealed: new Date(sealedMs).toISOString() }
}

function listText(objects: readonly QuarantinedObject[]): string {
  return table(
    ['name', 'status', 'shard', 'records', 'why', 'sealed'],
    objects.map(({ name, status, shard, records, reasons, sealedMs }) => [
      name,
      status,
      shard,
      records,
      reasonText(reasons),
      new Date(sealedMs).toISOString(),
    ]),
  )
}

function reasonText(reasons: Readonly<Record<string, number>>): string {
  return Object.entries(reasons)
    .map(([reason, records]) => `${records} ${reason}`)
    .join(', ')
}

function dataOf(data: Uint8Array): { readonly text: string } | { readonly base64: string } {
  const buffer = Buffer.from(data)
  const text = buffer.toString('utf8')
  return Buffer.from(text).equals(buffer) ? { text } : { base64: buffer.toString('base64') }
}
