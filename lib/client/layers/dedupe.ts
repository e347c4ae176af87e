import { type BytesPseudonymizer, bytesOf, overStrings } from '../bytes.ts'
import { echoOf } from '../echo.ts'
import { isValueFault, relocated } from '../faults.ts'
import { type Flight, flight } from '../flight.ts'
import {
  groupOf,
  type PseudonymAnswer,
  type Pseudonymizer,
  type PseudonymRequest,
  passesBy,
  type Question,
} from '../pseudonymizer.ts'
import { type ClientStats, emptyStats } from '../stats.ts'

/** A call under way. The values are entered before it starts, in the same turn. */
interface Ticket {
  flight?: Flight<PseudonymAnswer>
}

/** Where the answer to a value will be: which call, and at which index of it. */
interface Pending {
  readonly ticket: Ticket
  readonly at: number
}

/**
 * Asks for each value once: within a request, and across all requests under way, so that many columns or files read side by side
 * cost no more than one after the other. Mode random, `fresh` and `once` requests pass by.
 */
export function dedupe(next: Pseudonymizer, options: { readonly stats?: ClientStats } = {}): BytesPseudonymizer {
  const { stats = emptyStats() } = options
  const groups = new Map<string, Map<string, Pending>>()

  const nextBytes = bytesOf(next)
  const byStrings = overStrings({ call })
  return {
    call,
    callBytes(request) {
      if (!passesBy(request)) return byStrings(request)
      passed(request, request.values.offsets.length - 1)
      return nextBytes(request)
    },
  }

  function passed({ fresh }: Question, count: number): void {
    // A key check is no value of anybody's.
    if (!fresh) stats.distinct += count
  }

  async function call(request: PseudonymRequest): Promise<PseudonymAnswer> {
    if (passesBy(request)) {
      passed(request, request.values.length)
      return next.call(request)
    }
    request.signal?.throwIfAborted()
    const group = groupOf(request)
    const pending = groups.get(group) ?? new Map<string, Pending>()
    groups.set(group, pending)

    // Plan: which values are asked here, and which are waited for. One look-up per value: this is on the path of every value.
    const { values } = request
    const own: Ticket = {}
    const mine: string[] = []
    /** Index of each of mine in `values`, where it comes first. */
    const firstAt: number[] = []
    /** For each value its index in mine, or -1. */
    const places = new Int32Array(values.length).fill(-1)
    const others = new Map<Ticket, { i: number; at: number }[]>()
    for (let i = 0; i < values.length; i++) {
      const value = values[i] as string
      const known = pending.get(value)
      if (known?.ticket === own) {
        places[i] = known.at
      } else if (known !== undefined && !known.ticket.flight?.abandoned()) {
        const awaited = others.get(known.ticket)
        if (awaited === undefined) others.set(known.ticket, [{ i, at: known.at }])
        else awaited.push({ i, at: known.at })
      } else {
        places[i] = mine.length
        pending.set(value, { ticket: own, at: mine.length })
        firstAt.push(i)
        mine.push(value)
      }
    }
    stats.distinct += mine.length
    stats.shared += values.length - mine.length

    const answers = new Array<string>(values.length)
    const waits: Promise<PseudonymAnswer>[] = []
    if (mine.length > 0) {
      const started = start(group, pending, own, request, mine)
      const answered = started.join(request.signal).then((answer) => {
        for (let i = 0; i < places.length; i++) {
          const at = places[i] as number
          if (at >= 0) answers[i] = answer.values[at] as string
        }
        return answer
      }, relocate(firstAt))
      waits.push(answered)
    }
    for (const [ticket, awaited] of others) waits.push(follow(ticket, awaited))
    return { ...echoOf(await Promise.all(waits)), values: answers }

    async function follow(
      { flight: theirs }: Ticket,
      awaited: readonly { i: number; at: number }[],
    ): Promise<PseudonymAnswer> {
      try {
        const answer = await (theirs as Flight<PseudonymAnswer>).join(request.signal)
        for (const { i, at } of awaited) answers[i] = answer.values[at] as string
        return answer
      } catch (error) {
        // Perhaps another value of that call was at fault: ours are asked alone.
        if (!isValueFault(error) || request.signal?.aborted) throw error
      }
      const first = new Map<string, number>()
      for (const { i } of awaited) if (!first.has(values[i] as string)) first.set(values[i] as string, i)
      const again = [...first.keys()]
      const answer = await next.call({ ...request, values: again }).catch(relocate([...first.values()]))
      const byValue = new Map(again.map((value, at) => [value, answer.values[at] as string]))
      for (const { i } of awaited) answers[i] = byValue.get(values[i] as string) as string
      return answer
    }
  }

  function start(
    group: string,
    pending: Map<string, Pending>,
    own: Ticket,
    request: PseudonymRequest,
    values: readonly string[],
  ): Flight<PseudonymAnswer> {
    const { signal: _, ...rest } = request
    const started = flight((signal) => next.call({ ...rest, values, signal }))
    own.flight = started
    const forget = () => {
      // Only an abandoned call's values can have been taken over by another.
      const mayBeOthers = started.abandoned()
      for (const value of values) if (!mayBeOthers || pending.get(value)?.ticket === own) pending.delete(value)
      if (pending.size === 0 && groups.get(group) === pending) groups.delete(group)
    }
    // An answer is forgotten a turn later only: until the cache above has it, whoever asks for the value finds it here.
    started.settled.then(() => setImmediate(forget), forget)
    return started
  }
}

function relocate(places: readonly number[]): (error: unknown) => never {
  return (error) => {
    throw relocated(error, (i) => places[i])
  }
}
