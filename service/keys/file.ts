import { constants, type FileHandle, link, open, realpath, rename, unlink } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { type ErrorCode, PseudolakeError } from '../../lib/core/errors.ts'
import type { RandomBytes } from '../../lib/crypto/kernel.ts'
import { type KeyringData, wipe } from '../../lib/crypto/keyring.ts'
import { makeFolder, syncFolder } from './folders.ts'
import { parseKeyring, writeKeyring } from './format.ts'
import { parseEitherKeyring } from './secret.ts'

/** A keyring of a thousand keys has 250 kB; what is larger is no keyring. */
const MAX_BYTES = 16_000_000

/**
 * A keyring's file, or one with a secret of the original service as it is.
 * @param file a path
 * @throws PseudolakeError `keyring/not-found`, `keyring/readable` (others than the owner can read it), `keyring/invalid`
 */
export function loadKeyring(file: string): Promise<KeyringData> {
  return parsedFile(file, parseEitherKeyring)
}

async function parsedFile(file: string, parse: (text: string) => KeyringData): Promise<KeyringData> {
  const text = await readPrivate(file)
  try {
    return parse(text)
  } catch (error) {
    if (error instanceof PseudolakeError) throw failure(error.code, file, error.message)
    throw error
  }
}

/**
 * Writes a new keyring, whole or not at all, mode 0600. Never over another file: the keys in it may be the only way back.
 * @throws PseudolakeError `keyring/exists`, `storage/denied`, `storage/full`, `storage/failed`
 */
export function saveKeyring(file: string, data: KeyringData, randomBytes: RandomBytes): Promise<void> {
  return savePrivate(file, writeKeyring(data), randomBytes)
}

/** The same with any text. @throws PseudolakeError as {@link saveKeyring} */
export async function savePrivate(file: string, text: string, randomBytes: RandomBytes): Promise<void> {
  const folder = dirname(file)
  const temporary = join(folder, `.keyring-${Buffer.from(randomBytes(12)).toString('hex')}.tmp`)
  try {
    await makeFolder(folder)
    const handle = await open(temporary, 'wx', 0o600)
    try {
      await handle.writeFile(text)
      await handle.sync()
    } finally {
      await handle.close()
    }
    // A rename would replace a keyring that came in the meantime; a link does not.
    await link(temporary, file)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ENOTDIR') throw failure('storage/denied', file, 'its folder can’t be made')
    throw translated(error, file)
  } finally {
    await unlink(temporary).catch(() => undefined)
  }
  await syncFolder(folder)
}

/**
 * Puts another keyring in the place of the one that is there, whole or not at all: mode 0600, its owner kept. Two changes at a time can't
 * lose a key: the file that the new one is written to is made before the old one is read, and there can be one of it only.
 * @param change gets what is there; what it gives shares the bytes of the keys with it, and is wiped by the caller
 * @throws PseudolakeError what {@link loadKeyring} and `change` do; `keyring/busy`, `storage/denied`, `storage/full`, `storage/failed`
 */
export async function changeKeyring(
  file: string,
  change: (data: KeyringData) => KeyringData | Promise<KeyringData>,
): Promise<KeyringData> {
  // A link stays one: what is replaced is the file that it leads to.
  const path = await realpath(file).catch((error: unknown) => {
    throw translated(error, file)
  })
  const next = `${path}.next`
  const handle = await open(next, 'wx', 0o600).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EEXIST') throw translated(error, file)
    throw new PseudolakeError('keyring/busy', `${file} is being changed, or was when ${next} was left`, { file, next })
  })
  let data: KeyringData | undefined
  try {
    // A secret of the original service stays what it is: others read it.
    data = await parsedFile(path, parseKeyring)
    const changed = await change(data)
    try {
      await handle.writeFile(writeKeyring(changed))
      await keepOwner(handle, path)
      await handle.sync()
      await rename(next, path)
    } catch (error) {
      throw translated(error, file)
    }
    await syncFolder(dirname(path))
    return changed
  } catch (error) {
    if (data) wipe(data)
    await unlink(next).catch(() => undefined)
    throw error
  } finally {
    await handle.close()
  }
}

/** An administrator's change must not take the keyring away from the service that reads it. */
async function keepOwner(handle: FileHandle, path: string): Promise<void> {
  if (process.platform === 'win32') return
  const { uid, gid } = await handle.stat()
  const old = await open(path, 'r')
  const owner = await old.stat().finally(() => old.close())
  if (uid !== owner.uid || gid !== owner.gid) await handle.chown(owner.uid, owner.gid)
}

/** The text of a file that nobody but its owner can read. @throws PseudolakeError `keyring/not-found`, `keyring/readable`, `keyring/invalid`, `storage/*` */
export async function readPrivate(file: string): Promise<string> {
  // Does not wait for a writer where the path is a pipe: the look at what it is comes after.
  const handle = await open(file, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0)).catch((error: unknown) => {
    throw translated(error, file)
  })
  try {
    // Of the open file, so that nothing can be put in its place between the look and the read.
    const { mode, size } = await handle.stat()
    if ((mode & 0o170000) !== 0o100000) throw failure('keyring/invalid', file, 'not a file')
    if (process.platform !== 'win32' && (mode & 0o077) !== 0)
      throw failure('keyring/readable', file, `mode is ${(mode & 0o777).toString(8).padStart(4, '0')}, expected 0600`)
    if (size > MAX_BYTES) throw failure('keyring/invalid', file, `${size} bytes are no keyring`)
    const bytes = await handle.readFile()
    const text = bytes.toString('utf8')
    bytes.fill(0)
    return text
  } finally {
    await handle.close()
  }
}

function translated(error: unknown, file: string): PseudolakeError {
  const { code } = error as NodeJS.ErrnoException
  if (code === 'ENOENT' || code === 'ENOTDIR') return failure('keyring/not-found', file, 'there is no such file')
  if (code === 'EEXIST') return failure('keyring/exists', file, 'there is a file already')
  if (code === 'EISDIR') return failure('keyring/invalid', file, 'not a file')
  if (code === 'EACCES' || code === 'EPERM' || code === 'EROFS') return failure('storage/denied', file, 'not allowed')
  if (code === 'ENOSPC' || code === 'EDQUOT') return failure('storage/full', file, 'no room')
  return failure('storage/failed', file, `failed with ${code ?? 'an unknown error'}`)
}

function failure(code: ErrorCode, file: string, what: string): PseudolakeError {
  return new PseudolakeError(code, `${file}: ${what}`, { file })
}
