import { constants, link, open, unlink } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { type ErrorCode, PseudolakeError } from '../../lib/core/errors.ts'
import type { RandomBytes } from '../../lib/crypto/kernel.ts'
import type { KeyringData } from '../../lib/crypto/keyring.ts'
import { makeFolder, syncFolder } from './folders.ts'
import { parseKeyring, writeKeyring } from './format.ts'

/** A keyring of a thousand keys has 250 kB; what is larger is no keyring. */
const MAX_BYTES = 16_000_000

/**
 * @param file a path
 * @throws PseudolakeError `keyring/not-found`, `keyring/readable` (others than the owner can read it), `keyring/invalid`
 */
export async function loadKeyring(file: string): Promise<KeyringData> {
  const text = await readPrivate(file)
  try {
    return parseKeyring(text)
  } catch (error) {
    if (error instanceof PseudolakeError) throw failure(error.code, file, error.message)
    throw error
  }
}

/**
 * Writes a new keyring, whole or not at all, mode 0600. Never over another file: the keys in it may be the only way back.
 * @throws PseudolakeError `keyring/exists`, `storage/denied`, `storage/full`, `storage/failed`
 */
export async function saveKeyring(file: string, data: KeyringData, randomBytes: RandomBytes): Promise<void> {
  const folder = dirname(file)
  const temporary = join(folder, `.keyring-${Buffer.from(randomBytes(12)).toString('hex')}.tmp`)
  try {
    await makeFolder(folder)
    const handle = await open(temporary, 'wx', 0o600)
    try {
      await handle.writeFile(writeKeyring(data))
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

async function readPrivate(file: string): Promise<string> {
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
    return await handle.readFile('utf8')
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
