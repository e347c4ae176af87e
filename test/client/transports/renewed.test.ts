import { expect, test } from 'vitest'
import { renewed } from '../../../lib/client/transports/renewed.ts'
import { PseudolakeError } from '../../../lib/core/errors.ts'
import { request } from '../support.ts'

/** A service that takes one key only, and a store that has another than the caller knows, or not. */
function rotated({ known = 'old', stored = 'new', taken = 'new', code = 'service/denied' as const } = {}) {
  let key = known
  let renewals = 0
  let calls = 0
  let under: Promise<string> | undefined
  const transport = renewed(
    {
      async call() {
        calls++
        const sent = key
        await new Promise((resolve) => setImmediate(resolve))
        if (sent !== taken) throw new PseudolakeError(code, 'refused')
        return { values: ['p'] }
      },
    },
    {
      get: async () => key,
      renew: () => {
        under ??= (async () => {
          renewals++
          await new Promise((resolve) => setImmediate(resolve))
          key = stored
          return key
        })().finally(() => {
          under = undefined
        })
        return under
      },
    },
  )
  return { transport, calls: () => calls, renewals: () => renewals }
}

test('a key that was rotated is asked for once by all who were denied, and each call goes on', async () => {
  const { transport, calls, renewals } = rotated()
  const answers = await Promise.all(Array.from({ length: 20 }, () => transport.call(request(['a']))))
  expect(answers.every(({ values }) => values[0] === 'p')).toBe(true)
  expect(renewals()).toBe(1)
  expect(calls()).toBe(40)
})

test('a key that is the current one and is denied is not tried again', async () => {
  const { transport, calls } = rotated({ stored: 'old' })
  await expect(transport.call(request(['a']))).rejects.toMatchObject({ code: 'service/denied' })
  expect(calls()).toBe(1)
})

test('a new key that is denied too ends the call', async () => {
  const { transport, calls } = rotated({ stored: 'wrong too' })
  await expect(transport.call(request(['a']))).rejects.toMatchObject({ code: 'service/denied' })
  expect(calls()).toBe(2)
})

test('a failure that is no denial renews nothing', async () => {
  const { transport, renewals } = rotated({ code: 'service/refused' as never })
  await expect(transport.call(request(['a']))).rejects.toMatchObject({ code: 'service/refused' })
  expect(renewals()).toBe(0)
})

test('where the key can’t be asked for, the service’s refusal is what is told', async () => {
  const transport = renewed(
    {
      call: async () => {
        throw new PseudolakeError('service/denied', 'refused')
      },
    },
    {
      get: async () => 'old',
      renew: async () => {
        throw new PseudolakeError('secret/denied', 'no')
      },
    },
  )
  await expect(transport.call(request(['a']))).rejects.toMatchObject({ code: 'service/denied' })
})
