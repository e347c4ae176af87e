import { expect, test } from 'vitest'
import { inProcessTransport } from '../../../lib/client/transports/in-process.ts'
import { answer, pseudonym, request } from '../support.ts'

test('answers by the function it is given', async () => {
  const got = await inProcessTransport(answer).call(request(['a']))
  expect(got.values).toEqual([pseudonym('a', 'default')])
})

test('a function that only computes leaves room for signals between its calls', async () => {
  const stop = new AbortController()
  let calls = 0
  const transport = inProcessTransport((received) => {
    calls++
    return answer(received)
  })
  setImmediate(() => setImmediate(() => stop.abort(new Error('stop'))))
  const run = async () => {
    for (let i = 0; i < 1000; i++) await transport.call(request(['a'], { signal: stop.signal }))
  }
  await expect(run()).rejects.toThrow('stop')
  expect(calls).toBeLessThan(10)
})
