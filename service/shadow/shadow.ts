import { readList } from '../../lib/wire/body.ts'
import { ACTIONS, type Direction, FIELDS, HEADERS, readQuery, routeOf } from '../../lib/wire/contract.ts'
import { compareAnswers, compareLists } from './compare.ts'
import type { Tally } from './report.ts'
import type { Passed, PassedAnswer, SideService } from './sides.ts'

/**
 * Stands before the old service and holds the new one against it: callers are answered by the old one alone, and a sample of their calls
 * is asked of the new one afterwards. Neither a value nor a key goes anywhere but to the two services.
 */
export interface Shadow {
  /** The old service's answer. @throws what its connection says */
  pass(request: Passed): Promise<PassedAnswer>
  /** When all comparisons that were begun are done. */
  settled(): Promise<void>
}

export interface ShadowOptions {
  readonly old: SideService
  readonly fresh: SideService
  /** Share of the calls that are compared, from 0 to 1. */
  readonly sample: number
  /** Uniform in [0, 1). */
  readonly random: () => number
  readonly tally: Tally
  /** In place of the caller's, for the new service. */
  readonly apiKey?: string
  /** For the new service's way back. */
  readonly purpose?: string
  /** Comparisons at a time; a call above is passed on, and not compared. @default 16 */
  readonly maxAtOnce?: number
}

export function shadow(options: ShadowOptions): Shadow {
  const { old, fresh, sample, random, tally, maxAtOnce = 16 } = options
  const underWay = new Set<Promise<void>>()

  function begin(direction: Direction, request: Passed, answer: PassedAnswer): void {
    tally.sampled(direction)
    if (underWay.size >= maxAtOnce) {
      tally.skipped(direction)
      return
    }
    const work = compare(direction, request, answer)
      .catch(() => tally.newFailed(direction))
      .finally(() => underWay.delete(work))
    underWay.add(work)
  }

  async function compare(direction: Direction, request: Passed, answer: PassedAnswer): Promise<void> {
    const search = searchOf(request.target)
    const query = readQuery(search, direction)
    const random = direction === 'pseudonymize' && !('wrong' in query) && !query.deterministic
    if (random && answer.status === 200) return compareRandom(request, answer)
    const other = await ask(direction, search, request.body, request)
    const pair = `${answer.status}/${other.status}`
    tally.compared(direction, compareAnswers(answer, other, FIELDS[direction].answer), pair)
  }

  /** Two random pseudonyms of one value are not the same; that the new service takes back the old one's shows as much. */
  async function compareRandom(request: Passed, answer: PassedAnswer): Promise<void> {
    const made = readList(answer.body, FIELDS.pseudonymize.answer)
    if ('wrong' in made) {
      tally.compared('pseudonymize', { outcome: 'form', values: 0, different: 0 }, '')
      return
    }
    const body = Buffer.from(JSON.stringify({ [FIELDS.reidentify.request]: made }))
    const domain = new URLSearchParams(searchOf(request.target)).get('domain')
    const search = domain === null ? '' : `?${new URLSearchParams({ domain })}`
    const back = await ask('reidentify', search, body, request)
    if (back.status === 403 || back.status === 401) return tally.skipped('pseudonymize')
    const sent = readList(request.body, FIELDS.pseudonymize.request)
    const compared =
      back.status === 200
        ? compareLists(sent, readList(back.body, FIELDS.reidentify.answer))
        : ({ outcome: 'values', values: made.length, different: made.length } as const)
    tally.compared('pseudonymize', compared, '')
  }

  function ask(direction: Direction, search: string, body: Uint8Array, from: Passed): Promise<PassedAnswer> {
    const { apiKey = from.headers[HEADERS.apiKey], purpose } = options
    const type = from.headers['content-type']
    const headers = {
      ...(type !== undefined && { 'content-type': type }),
      ...(apiKey !== undefined && { [HEADERS.apiKey]: apiKey }),
      ...(purpose !== undefined && direction === 'reidentify' && { [HEADERS.purpose]: purpose }),
    }
    return fresh.ask({ method: 'POST', target: `/${ACTIONS[direction]}${search}`, headers, body })
  }

  return {
    async pass(request) {
      tally.request()
      const at = request.target.indexOf('?')
      const route = routeOf(at < 0 ? request.target : request.target.slice(0, at))
      let answer: PassedAnswer
      try {
        answer = await old.ask(request)
      } catch (error) {
        tally.oldFailed()
        throw error
      }
      const isCall = request.method === 'POST' && (route === 'pseudonymize' || route === 'reidentify')
      if (isCall && random() < sample) begin(route, request, answer)
      return answer
    },
    async settled() {
      await Promise.all(underWay)
    },
  }
}

function searchOf(target: string): string {
  const at = target.indexOf('?')
  return at < 0 ? '' : target.slice(at)
}
