import { expect, test } from 'vitest'
import { serviceAddress } from '../../../lib/client/transports/address.ts'

test.each([
  ['https://abc.execute-api.eu-west-1.amazonaws.com/Dev/pseudonymization', '/Dev/'],
  ['abc.execute-api.eu-west-1.amazonaws.com/Dev/reidentification', '/Dev/'],
  [' https://service.example/pseudonymization/ ', '/'],
  ['https://service.example:8443/a/b/pseudonymization', '/a/b/'],
  ['http://localhost:8080/pseudonymization', '/'],
  ['http://127.0.0.2/pseudonymization', '/'],
  ['http://[::1]:1/pseudonymization', '/'],
])('%s: both actions are found beside each other', (url, prefix) => {
  expect(serviceAddress(url).paths).toEqual({
    pseudonymize: `${prefix}pseudonymization`,
    reidentify: `${prefix}reidentification`,
  })
})

test('https is assumed where no scheme is given', () => {
  expect(serviceAddress('service.example/Dev/pseudonymization').origin).toBe('https://service.example')
})

test.each([
  ['http://service.example/pseudonymization', 'service.allow_http'],
  ['http://127.0.0.1.example.com/pseudonymization', 'service.allow_http'],
  ['http://localhost.example.com/pseudonymization', 'service.allow_http'],
  ['ftp://service.example/pseudonymization', 'got ftp://'],
  ['https://service.example/Dev', 'expected pseudonymization or reidentification'],
  ['https://service.example/pseudonymization?deterministic=True', 'no query'],
  ['https://service.example/pseudonymization#x', 'no query'],
  ['', 'got 0 characters'],
  ['https://', 'expected a URL'],
])('refused: %s', (url, message) => {
  expect(() => serviceAddress(url)).toThrow(
    expect.objectContaining({ code: 'config/invalid', message: expect.stringContaining(message) }),
  )
})

test('http beyond loopback needs permission', () => {
  expect(serviceAddress('http://service.example/pseudonymization', { allowHttp: true }).origin).toBe(
    'http://service.example',
  )
})

test('a password in the URL is refused, and not repeated', () => {
  const read = () => serviceAddress('https://user:hunter2@service.example/pseudonymization')
  expect(read).toThrow(/^(?!.*hunter2).*no user and password/)
})
