/** From a configuration's `service` section to a client: the one place that chooses a transport. */
import { resolve } from 'node:path'
import { type Client, composeClient } from '../lib/client/compose.ts'
import type { Transport } from '../lib/client/pseudonymizer.ts'
import type { Clock } from '../lib/core/clock.ts'
import { PseudolakeError } from '../lib/core/errors.ts'
import type { RandomBytes } from '../lib/crypto/kernel.ts'
import type { BatchSettings } from './config/native.ts'

export interface ServiceOutside {
  readonly env: Readonly<Record<string, string | undefined>>
  /** Where a keyring's relative path starts. */
  readonly cwd: string
  readonly clock: Clock
  readonly random: () => number
  readonly randomBytes: RandomBytes
  /** Is told why the portable cipher serves where the fast one can't, and why threads don't. @default nobody */
  readonly say?: (note: string) => void
}

/** Of the memory a run may use, what the cache of pseudonyms gets. */
const CACHE_SHARE = 0.125

/**
 * @throws PseudolakeError `config/invalid` where the section names no service, or one that this version cannot speak to; `keyring/*`
 */
export async function connectService(settings: BatchSettings, outside: ServiceOutside): Promise<Client> {
  const { limits } = settings
  return composeClient(await transportOf(settings, outside), {
    maxIdentifiers: limits.max_identifiers,
    maxRequestBytes: limits.max_request_bytes,
    maxConcurrency: limits.max_concurrency,
    ...(limits.requests_per_second === undefined ? {} : { requestsPerSecond: limits.requests_per_second }),
    cacheBytes: cacheBytes(settings),
    clock: outside.clock,
    random: outside.random,
  })
}

/** Bytes of pseudonyms that a run keeps at most. */
export function cacheBytes(settings: BatchSettings): number {
  return Math.floor(settings.limits.memory_mb * 2 ** 20 * CACHE_SHARE)
}

/**
 * What can be said against the section without asking anybody, so that a run stops before it reads.
 * @throws PseudolakeError `config/invalid`
 */
export function requireService({ service }: BatchSettings, env: ServiceOutside['env']): void {
  const given = (['url', 'embedded', 'lambda'] as const).filter((key) => service[key] !== undefined)
  if (given.length !== 1)
    throw new PseudolakeError(
      'config/invalid',
      `service: expected one of url, embedded and lambda, got ${given.join(' and ') || 'none'}`,
      {
        key: 'service',
      },
    )
  if (service.lambda !== undefined || service.auth !== undefined) {
    const key = service.lambda === undefined ? 'service.auth' : 'service.lambda'
    throw new PseudolakeError('config/invalid', `${key} is not supported by this version`, {
      key,
      hint: 'Use service.url with an API key, or service.embedded.',
    })
  }
  if (service.url === undefined) return
  if (/\/reidentification\/*$/.test(service.url))
    throw new PseudolakeError('config/invalid', 'service.url: batch pseudonymizes, and this is the way back', {
      key: 'service.url',
      hint: 'Its last word must be pseudonymization.',
    })
  apiKeyOf(service.api_key, env)
}

/** Loads the one transport that serves: the other’s packages would be half of what a small run costs. */
async function transportOf(settings: BatchSettings, outside: ServiceOutside): Promise<Transport> {
  requireService(settings, outside.env)
  const { service, limits } = settings
  if (service.embedded) {
    const { keyring, kernel } = service.embedded
    const { embeddedTransport } = await import('./embedded.ts')
    return embeddedTransport({ ...outside, keyring: resolve(outside.cwd, keyring), kernel })
  }
  const { httpTransport } = await import('../lib/client/transports/http.ts')
  return httpTransport({
    url: service.url as string,
    apiKey: apiKeyOf(service.api_key, outside.env),
    allowHttp: service.allow_http,
    maxConnections: limits.max_concurrency,
    env: outside.env,
    clock: outside.clock,
  })
}

function apiKeyOf(source: BatchSettings['service']['api_key'], env: ServiceOutside['env']): string | undefined {
  if (source === undefined) return undefined
  if (source.env === undefined)
    throw new PseudolakeError(
      'config/invalid',
      'service.api_key.secret (Secrets Manager) is not supported by this version',
      {
        key: 'service.api_key.secret',
        hint: 'Give the key by an environment variable: --set service.api_key.env=NAME',
      },
    )
  const value = env[source.env]
  if (value === undefined || value === '')
    throw new PseudolakeError(
      'config/invalid',
      `service.api_key.env: the environment variable ${source.env} is not set`,
      {
        key: 'service.api_key.env',
      },
    )
  return value.trim()
}
