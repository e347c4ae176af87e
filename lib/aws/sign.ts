/** Signature Version 4 for requests that the SDK does not send: a catalog's, and the pseudonymization service's behind IAM. */
import { createHash, createHmac } from 'node:crypto'
import type { CredentialProvider } from './credentials.ts'

export interface Signable {
  readonly method: string
  /** Absolute; what it escapes is signed as it stands. */
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  readonly body?: string | Uint8Array | undefined
}

/** @returns all headers to send: those given, `host`, and those of the signature */
export type Sign = (request: Signable) => Promise<Record<string, string>>

export interface SignerOptions {
  /** Signing name: `execute-api`, `lambda`, `glue`, `s3tables`. */
  readonly service: string
  readonly region: string
  readonly credentials: CredentialProvider
}

/** @throws PseudolakeError (the signing) as the provider of the credentials does */
export async function signer({ service, region, credentials }: SignerOptions): Promise<Sign> {
  const { SignatureV4 } = await import('@smithy/signature-v4')
  const signature = new SignatureV4({ service, region, credentials, sha256: Sha256, applyChecksum: true })
  return async ({ method, url, headers, body }) => {
    const { protocol, hostname, host, port, pathname, searchParams } = new URL(url)
    const query: Record<string, string | string[]> = {}
    for (const name of new Set(searchParams.keys())) {
      const values = searchParams.getAll(name)
      query[name] = values.length === 1 ? (values[0] as string) : values
    }
    const signed = await signature.sign({
      method,
      protocol,
      hostname,
      ...(port !== '' && { port: Number(port) }),
      path: pathname,
      query,
      headers: { ...headers, host },
      body,
    })
    return signed.headers
  }
}

/** Node's own; the SDK's would be one package more. */
class Sha256 {
  readonly #secret: Uint8Array | string | undefined
  #hash: ReturnType<typeof createHash> | ReturnType<typeof createHmac>

  constructor(secret?: SourceData) {
    this.#secret = secret === undefined ? undefined : bytesOf(secret)
    this.#hash = this.#fresh()
  }

  update(data: SourceData): void {
    this.#hash.update(bytesOf(data))
  }

  async digest(): Promise<Uint8Array> {
    return this.#hash.digest()
  }

  reset(): void {
    this.#hash = this.#fresh()
  }

  #fresh() {
    return this.#secret === undefined ? createHash('sha256') : createHmac('sha256', this.#secret)
  }
}

type SourceData = string | ArrayBuffer | ArrayBufferView

function bytesOf(data: SourceData): string | Uint8Array {
  if (typeof data === 'string') return data
  if (ArrayBuffer.isView(data)) return new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
  return new Uint8Array(data)
}
