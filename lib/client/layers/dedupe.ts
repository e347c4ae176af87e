import { echoOf } from '../echo.ts'
import { isValueFault, relocated } from '../faults.ts'
import { type Flight, flight } from '../flight.ts'
import {
  groupOf,
  isRepeatable,
  type PseudonymAnswer,
  type Pseudonymizer,
  type PseudonymRequest,
} from '../pseudonymizer.ts'
import { type ClientStats, emptyStats } from '../stats.ts'

/** Where the answer to a value will be: which call, and at which index of it. */
interface Pending {
  readonly flight: Flight<PseudonymAnswer>
  readonly at: number
}

/**
 * Asks for each value once: within a request, and across all requests under way, so that many columns or files read side by side
 * cost no more than one after the other. Mode random and `fresh` requests pass by.
 */
export function dedupe(next: Pseudonymizer, options: { readonly stats?: ClientStats } = {}): Pseudonymizer {
  const { stats = emptyStats() } = options
  const groups = new Map<string, Map<string, Pending>>()

  return {
    async call(request) {
      if (request.fresh || !isRepeatable(request)) {
        stats.distinct += request.values.length
        return next.call(request)
      }
      request.signal?.throwIfAborted()
      const group = groupOf(request)
      const pending = groups.get(group) ?? new Map<string, Pending>()
      groups.set(group, pending)

      // Plan: the distinct values, and for each whether it is asked here or waited for.
      const { values } = request
      const slots = new Uint32Array(values.length)
      const slotOf = new Map<string, number>()
      const firstAt: number[] = []
      const mine: string[] = []
      const mySlots: number[] = []
      const others = new Map<Flight<PseudonymAnswer>, { slot: number; at: number }[]>()
      for (let i = 0; i < values.length; i++) {
        const value = values[i] as string
        let slot = slotOf.get(value)
        if (slot === undefined) {
          slot = firstAt.length
          slotOf.set(value, slot)
          firstAt.push(i)
          const known = pending.get(value)
          if (known && !known.flight.abandoned()) {
            const places = others.get(known.flight) ?? []
            places.push({ slot, at: known.at })
            others.set(known.flight, places)
          } else {
            mySlots.push(slot)
            mine.push(value)
          }
        }
        slots[i] = slot
      }
      stats.distinct += mine.length
      stats.shared += values.length - mine.length

      const found = new Array<string>(firstAt.length)
      const place = (slot: number | undefined) => (slot === undefined ? undefined : firstAt[slot])
      const waits: Promise<PseudonymAnswer>[] = []
      if (mine.length > 0) {
        const own = ask(group, pending, request, mine)
        waits.push(own.join(request.signal).then((answer) => fill(answer, mySlots), relocate(mySlots)))
      }
      for (const [other, places] of others) {
        const theirSlots = places.map(({ slot }) => slot)
        const answer = other.join(request.signal).then(
          (whole) => ({ ...whole, values: places.map(({ at }) => whole.values[at] as string) }),
          (error: unknown) => {
            // Perhaps another value of that call was at fault: ours are asked alone.
            if (!isValueFault(error) || request.signal?.aborted) throw error
            const again = theirSlots.map((slot) => values[firstAt[slot] as number] as string)
            return next.call({ ...request, values: again }).catch(relocate(theirSlots))
          },
        )
        waits.push(answer.then((each) => fill(each, theirSlots)))
      }
      const answers = await Promise.all(waits)
      return { ...echoOf(answers), values: Array.from(slots, (slot) => found[slot] as string) }

      function fill(answer: PseudonymAnswer, into: readonly number[]): PseudonymAnswer {
        for (let i = 0; i < into.length; i++) found[into[i] as number] = answer.values[i] as string
        return answer
      }

      function relocate(from: readonly number[]): (error: unknown) => never {
        return (error) => {
          throw relocated(error, (i) => place(from[i]))
        }
      }
    },
  }

  function ask(group: string, pending: Map<string, Pending>, request: PseudonymRequest, values: readonly string[]) {
    const { signal: _, ...rest } = request
    const own = flight((signal) => next.call({ ...rest, values, signal }))
    values.forEach((value, at) => {
      pending.set(value, { flight: own, at })
    })
    const forget = () => {
      for (const value of values) if (pending.get(value)?.flight === own) pending.delete(value)
      if (pending.size === 0 && groups.get(group) === pending) groups.delete(group)
    }
    // An answer is forgotten a turn later only: until the cache above has it, whoever asks for the value finds it here.
    own.settled.then(() => setImmediate(forget), forget)
    return own
  }
}
