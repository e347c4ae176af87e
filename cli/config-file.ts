import { readFile } from 'node:fs/promises'
import { type ErrorCode, isPseudolakeError, PseudolakeError } from '../lib/core/errors.ts'
import { readBatchConfig, readStreamConfig } from '../pipelines/config/load.ts'
import type { BatchSettings, StreamSettings } from '../pipelines/config/native.ts'
import type { Io } from './command.ts'
import { absolute } from './paths.ts'

/** @throws PseudolakeError `config/invalid` where the file can't be read; as `readBatchConfig` */
export async function readConfig(given: string, set: readonly string[], io: Io): Promise<BatchSettings> {
  return readBatchConfig(await readText(given, io, 'config/invalid', 'cannot read the configuration'), {
    set,
    env: io.env,
  })
}

/** A stream's. @throws PseudolakeError as `readConfig` */
export async function readStream(given: string, set: readonly string[], io: Io): Promise<StreamSettings> {
  return readStreamConfig(await readText(given, io, 'config/invalid', 'cannot read the configuration'), {
    set,
    env: io.env,
  })
}

/**
 * The text of a file that the command line names: a path, or an object in a bucket as the environment's identity.
 * @param code of the failure, whose message begins with `problem`
 */
export async function readText(given: string, io: Io, code: ErrorCode, problem: string): Promise<string> {
  const file = absolute(io.cwd, given)
  const failed = (errno: string, cause: unknown) =>
    new PseudolakeError(code, `${problem} ${file} (${errno})`, { file, errno }, { cause })
  if (/^s3[an]?:\/\//i.test(file)) {
    const [{ lazyAws }, { storageAs }] = await Promise.all([
      import('../pipelines/aws.ts'),
      import('../pipelines/storages.ts'),
    ])
    const { aws, close } = lazyAws(io.env)
    try {
      const { clock, random, env } = io
      return new TextDecoder().decode(await storageAs({}, { env, clock, random, aws }).read(file))
    } catch (error) {
      throw isPseudolakeError(error) ? failed(error.code, error) : error
    } finally {
      await close()
    }
  }
  try {
    return await readFile(file, 'utf8')
  } catch (error) {
    throw failed((error as NodeJS.ErrnoException).code ?? 'unknown', error)
  }
}
