/** The service in this process: a keyring, a cipher, and the operations that the service over HTTP has too. */
import { setImmediate } from 'node:timers/promises'
import type { Transport } from '../lib/client/pseudonymizer.ts'
import { inProcessTransport } from '../lib/client/transports/in-process.ts'
import type { RandomBytes } from '../lib/crypto/kernel.ts'
import { type Keyring, openKeyring, wipe } from '../lib/crypto/keyring.ts'
import { chooseKernel, type KernelName } from '../lib/crypto/open.ts'
import { loadKeyring } from '../service/keys/file.ts'
import { embeddedService } from '../service/operations/embedded.ts'

export interface EmbeddedOptions {
  /** A path. */
  readonly keyring: string
  readonly kernel?: KernelName | undefined
  readonly randomBytes: RandomBytes
  /** Is told why the portable cipher serves, where the fast one can't. @default nobody */
  readonly say?: (note: string) => void
}

/** @throws PseudolakeError `keyring/*`; `config/invalid` for a cipher that can't run here */
export async function embeddedTransport(options: EmbeddedOptions): Promise<Transport> {
  const keyring = await openFile(options)
  return { ...inProcessTransport(embeddedService(keyring, setImmediate)), close: async () => keyring.dispose() }
}

async function openFile({ keyring, kernel, randomBytes, say }: EmbeddedOptions): Promise<Keyring> {
  const openKernel = chooseKernel(kernel, (reason) => say?.(reason))
  const data = await loadKeyring(keyring)
  try {
    return openKeyring(data, openKernel, { randomBytes })
  } finally {
    wipe(data)
  }
}
