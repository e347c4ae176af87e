import { stat } from 'node:fs/promises'

/** What of a file is another when it was replaced or written: its place, size or times. Undefined where it can't be looked at; reading it says why. */
export async function signatureOf(file: string): Promise<string | undefined> {
  try {
    const { dev, ino, size, mtimeNs, ctimeNs } = await stat(file, { bigint: true })
    return [dev, ino, size, mtimeNs, ctimeNs].join(' ')
  } catch {
    return undefined
  }
}
