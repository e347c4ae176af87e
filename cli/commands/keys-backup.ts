import { randomBytes } from 'node:crypto'
import { unlink } from 'node:fs/promises'
import { resolve } from 'node:path'
import { PseudolakeError } from '../../lib/core/errors.ts'
import { summaryOf, wipe } from '../../lib/crypto/keyring.ts'
import { type Backup, backUp, openBackup } from '../../service/keys/backup.ts'
import { loadKeyring, readPrivate, saveKeyring, savePrivate } from '../../service/keys/file.ts'
import { parseKeyring, writeKeyring } from '../../service/keys/format.ts'
import { type DataKeyService, sealWithKms } from '../../service/keys/kms.ts'
import { checkSharing, type Sharing } from '../../service/keys/shares.ts'
import type { Arguments, Command, Io } from '../command.ts'
import { readText } from '../config-file.ts'
import { keyLines } from '../output/keys.ts'

/** The way a keyring is kept against its loss, and the way back from there (docs/keys.md). */

export const keysBackup: Command = {
  name: 'keys backup',
  summary: 'Seal a keyring so that several people together can open it again, or KMS can.',
  positionals: [{ name: 'KEYRING', required: true, summary: 'The keyring’s file' }],
  options: {
    out: { type: 'string', value: 'F', required: true, summary: 'Where to write the backup (never over another file)' },
    shares: {
      type: 'string',
      value: 'M-of-N',
      summary: 'Cut its key into N shares, any M of which open it: files F.share-1 to F.share-N, one for each holder',
    },
    recipient: {
      type: 'string',
      value: 'KEY',
      multiple: true,
      summary: 'An X25519 public key (32 bytes in base64) to seal a share for, N times; then there are no share files',
    },
    'kms-key': { type: 'string', value: 'ID', summary: 'Have KMS wrap its key instead: id, ARN or alias' },
  },
  examples: [
    [
      'pseudolake keys backup keys.json --out keys.backup --shares 2-of-3',
      'three files of shares, two of which open it',
    ],
    ['pseudolake keys backup keys.json --out keys.sealed --kms-key alias/pseudolake', 'for a secret (docs/lambda.md)'],
  ],
  async run(args, io) {
    const file = args.positionals[0] as string
    const out = args.string('out') as string
    const how = howOf(args)
    const data = await loadKeyring(resolve(io.cwd, file))
    const text = writeKeyring(data)
    wipe(data)
    const now = io.clock.wall()
    const kms = args.string('kms-key')
    const { backup, shares }: Backup = how
      ? await backUp(text, how, { randomBytes, now })
      : { backup: await sealWithKms(text, kms as string, dataKeys(io), { randomBytes, now }), shares: [] }
    const files = await saveAll(resolve(io.cwd, out), backup, shares)
    const names = files.map((_, i) => `${out}.share-${i + 1}`)
    return {
      exit: 0,
      json: {
        keyring: file,
        backup: out,
        ...(how && { threshold: how.threshold, of: how.of, shares: names }),
        ...(kms !== undefined && { kms_key: kms }),
      },
      text: [
        `wrote ${[out, ...names].join(', ')}`,
        ...(names.length > 0
          ? [
              `Give each share to another holder, and remove it here: ${how?.threshold} of them and the backup are the keys.`,
            ]
          : []),
        '`pseudolake keys restore --check` says whether it can be opened. A later key is not in it: back up after each rotation.',
      ].join('\n'),
    }
  },
}

export const keysRestore: Command = {
  name: 'keys restore',
  summary: 'Make a keyring of its backup.',
  positionals: [{ name: 'BACKUP', required: true, summary: 'The backup’s file' }],
  options: {
    out: { type: 'string', value: 'F', summary: 'Where to write the keyring (mode 0600; never over another file)' },
    check: { type: 'boolean', summary: 'Open it and list its keys, and write nothing' },
    share: { type: 'string', value: 'F', multiple: true, summary: 'A share’s file; as many as the backup asks for' },
    identity: {
      type: 'string',
      value: 'F',
      multiple: true,
      summary: 'A recipient’s private key (X25519, PEM), in a file that nobody else can read',
    },
  },
  examples: [
    ['pseudolake keys restore keys.backup --share a.share --share b.share --out keys.json', 'two holders together'],
    ['pseudolake keys restore keys.backup --share a.share --share b.share --check', 'a drill'],
  ],
  async run(args, io) {
    const file = args.positionals[0] as string
    const out = args.string('out')
    const check = args.flag('check')
    if (check === (out !== undefined))
      throw new PseudolakeError('options/invalid', 'expected one of --out F and --check', { option: 'out' })
    const read = (names: readonly string[]) =>
      Promise.all(names.map(async (name) => ({ name, text: await readPrivate(resolve(io.cwd, name)) })))
    const [shares, identities] = await Promise.all([read(args.strings('share')), read(args.strings('identity'))])
    // Of no use without its shares: it may be kept where others can read it.
    const backup = await readText(file, io, 'input/not-found', 'cannot read the backup')
    const text = await openBackup(backup, { shares, identities }, () => dataKeys(io))
    const data = parseKeyring(text)
    try {
      if (out !== undefined) await saveKeyring(resolve(io.cwd, out), data, randomBytes)
    } finally {
      wipe(data)
    }
    const domains = summaryOf(data)
    return {
      exit: 0,
      json: { backup: file, ...(out !== undefined && { keyring: out }), domains },
      text: [out === undefined ? `${file} can be opened` : `wrote ${out}`, ...keyLines(domains)].join('\n'),
    }
  },
}

/** @returns undefined: KMS has the key */
function howOf(args: Arguments): Sharing | undefined {
  const shares = args.string('shares')
  const recipients = args.strings('recipient')
  if ((shares === undefined) === (args.string('kms-key') === undefined))
    throw new PseudolakeError('options/invalid', 'expected one of --shares M-of-N and --kms-key ID', {
      option: 'shares',
    })
  if (shares === undefined) {
    if (recipients.length === 0) return undefined
    throw new PseudolakeError('options/invalid', '--recipient goes with --shares', { option: 'recipient' })
  }
  const [, threshold, of] = /^(\d{1,3})-of-(\d{1,3})$/.exec(shares) ?? []
  if (of === undefined)
    throw new PseudolakeError('options/invalid', '--shares: expected M-of-N, as 2-of-3', { option: 'shares' })
  const how = { threshold: Number(threshold), of: Number(of), ...(recipients.length > 0 && { recipients }) }
  checkSharing(how)
  return how
}

/** All or none: a share without its backup is of no use, and one that was left behind is one too many. @returns the shares' files */
async function saveAll(out: string, backup: string, shares: readonly string[]): Promise<readonly string[]> {
  const written: string[] = []
  const save = async (file: string, text: string) => {
    await savePrivate(file, text, randomBytes)
    written.push(file)
  }
  try {
    await save(out, backup)
    for (const [i, share] of shares.entries()) await save(`${out}.share-${i + 1}`, share)
    return written.slice(1)
  } catch (error) {
    await Promise.all(written.map((file) => unlink(file).catch(() => undefined)))
    throw error
  }
}

/** KMS by the environment; loaded when it is asked. */
function dataKeys({ env }: Io): DataKeyService {
  async function asked<T>(id: string, ask: (service: DataKeyService) => Promise<T>): Promise<T> {
    const [{ openAws }, { kmsDataKeys }, { regionOfArn }] = await Promise.all([
      import('../../lib/aws/clients.ts'),
      import('../../lib/aws/kms.ts'),
      import('../../lib/aws/settings.ts'),
    ])
    const aws = openAws({ env })
    const region = regionOfArn(id)
    try {
      return await ask(kmsDataKeys(() => aws.kms(region === undefined ? {} : { region })))
    } finally {
      await aws.close()
    }
  }
  return {
    generate: (id) => asked(id, (service) => service.generate(id)),
    unwrap: (wrapped, id) => asked(id, (service) => service.unwrap(wrapped, id)),
  }
}
