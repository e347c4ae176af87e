import type { Crew, Work } from './crew.ts'
import type { Part, Parts } from './parts.ts'
import { PART_VALUES, type Place } from './places.ts'

/**
 * How a batch is shared: this thread hands parts out as long as there are places, makes parts itself, and takes in what others have made.
 * Parts get smaller towards the end, and what nobody has begun by then is taken back and cut anew, so that all threads end together.
 */
export interface Sharing {
  /** @default this thread makes every part */
  readonly crew: Crew | undefined
  /** That share, this one included. */
  readonly threads: number
  readonly pause: () => Promise<unknown>
  /** Puts a part into a place. @returns undefined where it can't be put there; then nothing was */
  put(part: Part, place: Place): Work | undefined
  /** Makes a part in this thread. */
  make(part: Part): void
  /** Is told how many values another thread has made. */
  taken(count: number): void
}

/** A batch no larger is one part: whoever asks for many of them is served by many threads anyway. */
const WHOLE_VALUES = PART_VALUES
/** A smaller part costs more to call the kernel for than is won. */
const LEAST_VALUES = 128
/** Of this thread's own, between two pauses: 50 ms of the slowest kernel. */
const PAUSE_VALUES = 2_048

interface Out {
  readonly part: Part
  readonly place: Place
}

/** @throws what `make`, `put` and `pause` throw; by then no thread works on the batch any more */
export async function shareOut(parts: Parts, { crew, threads, pause, put, make, taken }: Sharing): Promise<void> {
  /** Ranges that nobody has; the last is cut first. */
  const todo: Part[] = parts.count > 0 ? [{ from: 0, to: parts.count }] : []
  const out: Out[] = []
  const isOnePart = parts.count <= WHOLE_VALUES

  function cut(): Part | undefined {
    const range = todo.pop()
    if (!range) return undefined
    const left = todo.reduce((sum, { from, to }) => sum + to - from, range.to - range.from)
    const share = Math.max(LEAST_VALUES, Math.ceil(left / threads / 2))
    const values = isOnePart ? WHOLE_VALUES : Math.min(PART_VALUES, share)
    const to = parts.fit(range.from, Math.min(range.to, range.from + values))
    if (to < range.to) todo.push({ from: to, to: range.to })
    return { from: range.from, to }
  }

  /** @returns a part that can't be handed out */
  function handOut(to: Crew): Part | undefined {
    while (todo.length > 0) {
      const place = to.place()
      if (!place) return undefined
      let work: Work | undefined
      const part = cut() as Part
      try {
        work = put(part, place)
      } finally {
        if (!work) to.release(place)
      }
      if (!work) return part
      to.hand(place, work)
      out.push({ part, place })
    }
    return undefined
  }

  function takeIn(from: Crew): void {
    for (let i = 0; i < out.length; ) {
      const { part, place } = out[i] as Out
      const outcome = from.outcome(place)
      if (!outcome) {
        i++
        continue
      }
      out.splice(i, 1)
      try {
        if (outcome === 'done') parts.take(part, place)
      } finally {
        from.release(place)
      }
      if (outcome === 'done') taken(part.to - part.from)
      else make(part)
    }
  }

  /** The part that was handed out last and that nobody has begun. */
  function takeBack(from: Crew): void {
    // One part is left to them: this thread has others to serve.
    if (isOnePart && !from.isOver) return
    const at = out.findLastIndex(({ place }) => from.takeBack(place))
    if (at < 0) return
    const [{ part, place }] = out.splice(at, 1) as [Out]
    from.release(place)
    todo.push(part)
  }

  try {
    for (let since = 0; todo.length > 0 || out.length > 0; ) {
      if (crew) takeIn(crew)
      let part = crew && handOut(crew)
      if (crew && !part && todo.length === 0) takeBack(crew)
      part ??= cut()
      if (part) {
        make(part)
        since += part.to - part.from
      } else if (crew && out.length > 0) await crew.news(out.map(({ place }) => place))
      if (since >= PAUSE_VALUES && (todo.length > 0 || out.length > 0)) {
        since = 0
        await pause()
      }
    }
  } finally {
    if (crew) await leave(crew, out)
  }
}

/** Gets places back that nobody waits for any more. */
async function leave(crew: Crew, out: readonly Out[]): Promise<void> {
  for (const { place } of out) {
    while (!crew.takeBack(place) && crew.outcome(place) === undefined) await crew.news([place])
    crew.release(place)
  }
  crew.tidy()
}
