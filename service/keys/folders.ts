import { mkdir, open } from 'node:fs/promises'
import { dirname } from 'node:path'

/**
 * Makes a folder and those above it; `mode` is for the last one. Not Node's recursive mkdir: below a file system that takes no
 * folders, such as /proc, that one never ends, and a signal does not end it either.
 * @throws what the system says: ENOENT where no folder can be made, EEXIST or ENOTDIR where a file is in the way
 */
export async function makeFolder(folder: string, mode = 0o777): Promise<void> {
  try {
    await made(folder, mode)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT' || dirname(folder) === folder) throw error
    await makeFolder(dirname(folder))
    await made(folder, mode)
  }
}

async function made(folder: string, mode: number): Promise<void> {
  try {
    await mkdir(folder, { mode })
  } catch (error) {
    // Whether it is a folder, the first file in it tells.
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  }
}

/** A new name is durable only when its folder is. */
export async function syncFolder(folder: string): Promise<void> {
  if (process.platform === 'win32') return
  const handle = await open(folder, 'r')
  await handle.sync().finally(() => handle.close())
}
