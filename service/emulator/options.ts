import { PseudolakeError } from '../../lib/core/errors.ts'

/** How the service behaves where it is to be as one in Lambda behind API Gateway. Times in milliseconds, rates from 0 to 1. */
export interface Emulation {
  /** Execution environments at most, each with one request at a time; above it a request is throttled. */
  readonly concurrency: number
  /** Of a throttled request: 429, as a function URL and a direct call give, and gateways that are set up so; else 500, a REST API's own. */
  readonly throttleStatus: 429 | 500
  /** The stage's: requests a second, and at once after a pause. */
  readonly rate: number
  readonly burst: number
  /** Of a request that needs a new environment, on top of the latency. */
  readonly coldStartMs: number
  /** How long an environment without work is kept. */
  readonly idleMs: number
  /** Added to each request: the median, and sigma of the log-normal distribution around it. */
  readonly latencyMs: number
  readonly spread: number
  /** Requests that end with a 502, as of a function that broke, half of them after the work was done. */
  readonly faults: number
  /** Requests whose connection is lost after the work was done. */
  readonly resets: number
  /** What the gateway waits; then a 504, and the function works on. */
  readonly timeLimitMs: number
  /** Of all that is by chance: the same requests in the same order meet the same. */
  readonly seed: number
}

/** AWS's own limits and an account's defaults; nothing goes wrong by itself. */
export const LAMBDA: Emulation = {
  concurrency: 1_000,
  throttleStatus: 429,
  rate: 10_000,
  burst: 5_000,
  coldStartMs: 250,
  idleMs: 600_000,
  latencyMs: 0,
  spread: 0.3,
  faults: 0,
  resets: 0,
  timeLimitMs: 29_000,
  seed: 1,
}

/** What of a body the gateway takes, and what of an event and an answer the function. */
export const GATEWAY_BODY_BYTES = 10 * 2 ** 20
export const FUNCTION_BYTES = 6_291_456

type Read = (text: string) => number | undefined

const integer =
  (least: number): Read =>
  (text) =>
    /^\d{1,9}$/.test(text) && Number(text) >= least ? Number(text) : undefined
const above0: Read = (text) => (/^\d{1,9}(?:\.\d+)?$/.test(text) && Number(text) > 0 ? Number(text) : undefined)
const share: Read = (text) => (/^(?:0|0?\.\d+|0\.\d+|1|1\.0+)$/.test(text) ? Number(text) : undefined)
const duration: Read = (text) => {
  const [, number, unit = 'ms'] = /^(\d{1,9}(?:\.\d+)?)(ms|s|m)?$/.exec(text) ?? []
  return number === undefined ? undefined : Number(number) * ({ ms: 1, s: 1_000, m: 60_000 }[unit] as number)
}
const status: Read = (text) => (text === '429' || text === '500' ? Number(text) : undefined)

/** By the name that is typed: the field, how it is read, and what is expected. */
const SETTINGS = {
  concurrency: ['concurrency', integer(1), 'an integer from 1'],
  'throttle-status': ['throttleStatus', status, '429 or 500'],
  rate: ['rate', above0, 'a number above 0'],
  burst: ['burst', integer(1), 'an integer from 1'],
  'cold-start': ['coldStartMs', duration, 'a duration as 250ms'],
  idle: ['idleMs', duration, 'a duration as 10m'],
  latency: ['latencyMs', duration, 'a duration as 3ms'],
  spread: ['spread', (text: string) => (text === '0' ? 0 : above0(text)), 'a number from 0'],
  faults: ['faults', share, 'a share from 0 to 1'],
  resets: ['resets', share, 'a share from 0 to 1'],
  'time-limit': ['timeLimitMs', duration, 'a duration as 29s'],
  seed: ['seed', integer(0), 'an integer from 0'],
} as const satisfies Record<string, readonly [keyof Emulation, Read, string]>

export const EMULATION_SETTINGS = Object.keys(SETTINGS)

/**
 * @param settings `name=value` each; the last one of a name counts
 * @throws PseudolakeError `options/invalid`
 */
export function readEmulation(settings: readonly string[]): Emulation {
  const read: Record<string, number> = {}
  for (const setting of settings) {
    const at = setting.indexOf('=')
    const name = setting.slice(0, Math.max(0, at))
    if (!Object.hasOwn(SETTINGS, name))
      throw new PseudolakeError(
        'options/invalid',
        `--emulate-set: expected NAME=VALUE with one of ${EMULATION_SETTINGS.join(', ')}`,
        {
          option: 'emulate-set',
        },
      )
    const [field, reads, expected] = SETTINGS[name as keyof typeof SETTINGS]
    const value = reads(setting.slice(at + 1))
    if (value === undefined)
      throw new PseudolakeError('options/invalid', `--emulate-set ${name}: expected ${expected}`, {
        option: 'emulate-set',
      })
    read[field] = value
  }
  return { ...LAMBDA, ...read }
}
