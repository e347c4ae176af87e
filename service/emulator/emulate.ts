import type { Clock } from '../../lib/core/clock.ts'
import { type Random, seeded } from '../../lib/core/random.ts'
import { routeOf } from '../../lib/wire/contract.ts'
import { bodyText } from '../answers.ts'
import { rateLimit } from '../limits.ts'
import type { App, ServiceAnswer, ServiceRequest } from '../service.ts'
import { environments } from './environments.ts'
import { type Emulation, FUNCTION_BYTES, GATEWAY_BODY_BYTES } from './options.ts'

/** What befell a request that the service would have answered otherwise, or later. */
export type Befallen = 'throttled' | 'cold-start' | 'fault' | 'reset' | 'timeout' | 'too-large' | 'unknown-path'

/** Thrown to have the server drop the connection. */
class ConnectionLost extends Error {}

/**
 * Behaves as API Gateway (a REST API) and Lambda before an app: for load tests of clients, on one machine. Answers of the gateway are
 * its own, `{"message":"…"}` without a code and without `Retry-After`; those of the function come through. Health, readiness and
 * metrics are the emulator's operator's, and as ever.
 *
 * Not there: what IAM says, the gateway's own checks of API keys (the function makes them, and holds an environment meanwhile), and
 * how fast Lambda adds environments.
 */
export function emulated(app: App, emulation: Emulation, clock: Clock, tell: (what: Befallen) => void): App {
  const random = seeded(emulation.seed)
  const places = environments(emulation.concurrency, emulation.idleMs)
  const stage = rateLimit()
  const budget = { perSecond: emulation.rate, burst: emulation.burst }

  async function gateway(request: ServiceRequest): Promise<ServiceAnswer> {
    // Drawn at once and in the same number for all: what a request meets depends on its place in the order alone.
    const chance = drawn(random, emulation)
    const route = routeOf(request.path)
    if (route === undefined) {
      tell('unknown-path')
      return message(403, 'Missing Authentication Token', 'MissingAuthenticationTokenException')
    }
    if (stage('', budget, clock.now()).waitMs > 0) {
      tell('throttled')
      return message(429, 'Too Many Requests', 'TooManyRequestsException')
    }
    const body = await request.body()
    if (body === 'request/too-large' || (typeof body !== 'string' && isTooLarge(body))) {
      tell('too-large')
      return message(413, 'Request Too Long', 'RequestTooLongException')
    }
    const environment = places.acquire(clock.now())
    if (!environment) {
      tell('throttled')
      return emulation.throttleStatus === 429
        ? message(429, 'Too Many Requests', 'TooManyRequestsException')
        : message(500, 'Internal server error', 'InternalServerErrorException')
    }
    if (environment.cold) tell('cold-start')
    const work = invoke({ ...request, body: async () => body }, chance, environment.cold).finally(() =>
      environment.release(clock.now()),
    )
    return inTime(work)
  }

  /** The function: it takes its time, answers, and may break before or after it did what it was asked for. */
  async function invoke(request: ServiceRequest, chance: Chance, cold: boolean): Promise<ServiceAnswer> {
    const waitMs = chance.latencyMs + (cold ? emulation.coldStartMs : 0)
    if (waitMs > 0) await clock.sleep(waitMs)
    if (chance.fault === 'before') return broken()
    const answer = await app.handle(request)
    if (chance.fault === 'after') return broken()
    if (chance.reset) {
      tell('reset')
      throw new ConnectionLost()
    }
    if (Buffer.byteLength(JSON.stringify(bodyText(answer))) <= FUNCTION_BYTES) return answer
    tell('too-large')
    return message(502, 'Internal server error', 'InternalServerErrorException')
  }

  function broken(): ServiceAnswer {
    tell('fault')
    return message(502, 'Internal server error', 'InternalServerErrorException')
  }

  async function inTime(work: Promise<ServiceAnswer>): Promise<ServiceAnswer> {
    const over = new AbortController()
    const late = clock.sleep(emulation.timeLimitMs, over.signal).then(
      () => {
        tell('timeout')
        return message(504, 'Endpoint request timed out', 'IntegrationTimeoutException')
      },
      // The work was there first.
      () => work,
    )
    try {
      return await Promise.race([work, late])
    } finally {
      over.abort()
      // What the function does after its answer is nobody's concern.
      work.catch(() => undefined)
    }
  }

  return {
    drain: () => app.drain(),
    handle(request) {
      const route = routeOf(request.path)
      const probes = route === 'health' || route === 'ready' || route === 'metrics'
      return probes ? app.handle(request) : gateway(request)
    },
  }
}

interface Chance {
  readonly latencyMs: number
  readonly fault: 'before' | 'after' | undefined
  readonly reset: boolean
}

function drawn(random: Random, { latencyMs, spread, faults, resets }: Emulation): Chance {
  const [a, b, fault, when, reset] = [random.unit(), random.unit(), random.unit(), random.unit(), random.unit()]
  // Box and Muller; 1 - a is never 0.
  const normal = Math.sqrt(-2 * Math.log(1 - a)) * Math.cos(2 * Math.PI * b)
  return {
    latencyMs: latencyMs * Math.exp(spread * normal),
    fault: fault >= faults ? undefined : when < 0.5 ? 'before' : 'after',
    reset: reset < resets,
  }
}

/** The event has the body as a JSON text, where each quote has a backslash before it. */
function isTooLarge(body: Uint8Array): boolean {
  if (body.length > GATEWAY_BODY_BYTES) return true
  if (body.length * 6 <= FUNCTION_BYTES) return false
  return Buffer.byteLength(JSON.stringify(Buffer.from(body).toString('utf8'))) > FUNCTION_BYTES
}

function message(status: number, text: string, type: string): ServiceAnswer {
  return {
    status,
    headers: { 'content-type': 'application/json', 'x-amzn-errortype': type },
    body: JSON.stringify({ message: text }),
  }
}
