/** The service in this process: a keyring, a cipher, and the operations that the service over HTTP has too. */
import { setImmediate } from 'node:timers/promises'
import { type CallBytes, overStrings } from '../lib/client/bytes.ts'
import type { Transport } from '../lib/client/pseudonymizer.ts'
import { inProcessTransport } from '../lib/client/transports/in-process.ts'
import type { OpenKernel, RandomBytes } from '../lib/crypto/kernel.ts'
import { type Keyring, type KeyringData, openKeyring, wipe } from '../lib/crypto/keyring.ts'
import { nobleKernel } from '../lib/crypto/noble.ts'
import { chooseKernel, type KernelName } from '../lib/crypto/open.ts'
import { embeddedBytes, embeddedService } from '../service/operations/embedded.ts'
import { kernelThreads } from '../service/operations/threads/threads.ts'

export interface EmbeddedOptions {
  /** Wiped once it is open. */
  readonly keyring: () => Promise<KeyringData>
  readonly kernel?: KernelName | undefined
  readonly randomBytes: RandomBytes
  /** Is told why the portable cipher serves where the fast one can't, and why threads don't. @default nobody */
  readonly say?: (note: string) => void
}

/** This one and another, which keeps up with what one thread reads and writes and takes some 15 MB of `limits.memory_mb`. */
const MOST_THREADS = 2

/** @throws PseudolakeError `keyring/*`; `config/invalid` for a cipher that can't run here */
export async function embeddedTransport({ keyring, kernel, randomBytes, say }: EmbeddedOptions): Promise<Transport> {
  const openKernel = chooseKernel(kernel, (reason) => say?.(reason))
  const threads = kernelThreads({
    most: MOST_THREADS,
    kernel: openKernel === nobleKernel ? 'noble' : 'wasm',
    say: (reason) => say?.(reason),
  })
  const keys = opened(await keyring(), threads.wrap(openKernel), randomBytes)
  const call = embeddedService(keys, setImmediate, threads)
  const forward = embeddedBytes(keys, setImmediate, threads)
  const byStrings = overStrings({ call })
  const callBytes: CallBytes = (request) =>
    request.direction === 'pseudonymize' ? forward({ ...request, direction: request.direction }) : byStrings(request)
  return {
    ...inProcessTransport(call, callBytes),
    async close() {
      keys.dispose()
      await threads.close()
    },
  }
}

function opened(data: KeyringData, openKernel: OpenKernel, randomBytes: RandomBytes): Keyring {
  try {
    return openKeyring(data, openKernel, { randomBytes })
  } finally {
    wipe(data)
  }
}
