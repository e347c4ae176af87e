/**
 * Whether looking pays. Of a stream of texts that are all different, every look is lost, and keeping them pushes out what others ask for again:
 * such an owner's requests go to the cipher at once, but for one now and then, which shows when that has changed.
 */
export interface Worth {
  /** Asked for each request. */
  pays(): boolean
  /** Is told what a request that was looked at found. */
  saw(texts: number, found: number): void
}

/** A look and keeping cost a fourth of what the cipher does. */
const LEAST_SHARE = 0.25
/** Texts over which the share that was found is averaged. */
const SPAN = 4_096
/** Requests of which one is looked at while it does not pay. */
const SAMPLE = 32

export function worth(): Worth {
  // Nothing can be found at first.
  let share = 1
  let skipped = 0
  return {
    pays() {
      if (share >= LEAST_SHARE) return true
      skipped = (skipped + 1) % SAMPLE
      return skipped === 0
    },
    saw(texts, found) {
      if (texts === 0) return
      const now = found / texts
      if (share < LEAST_SHARE && now >= LEAST_SHARE) share = 1
      else share += (now - share) * Math.min(1, texts / SPAN)
    },
  }
}
