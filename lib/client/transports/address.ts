import { PseudolakeError } from '../../core/errors.ts'
import { ACTIONS, type Direction } from '../../wire/contract.ts'

/** Where a service's two actions are. */
export interface ServiceAddress {
  readonly origin: string
  /** Path of each action, stage prefix included, without query. */
  readonly paths: Readonly<Record<Direction, string>>
  /** For messages: origin and path as given, nothing secret in it. */
  readonly name: string
  readonly loopback: boolean
}

/**
 * Reads a service URL (`https://host/Dev/pseudonymization`; `https://` is assumed where no scheme is given). Its last path word is
 * one action; the other's address differs in that word only.
 *
 * @throws PseudolakeError `config/invalid`. The URL itself is not repeated where it may hold a password.
 */
export function serviceAddress(text: string, options: { readonly allowHttp?: boolean } = {}): ServiceAddress {
  const trimmed = text.trim()
  const url = URL.parse(/^[a-z][a-z0-9+.-]*:\/\//i.test(trimmed) ? trimmed : `https://${trimmed}`)
  if (url === null) throw invalid(`expected a URL, got ${trimmed.length} characters that are none`)
  if (url.username !== '' || url.password !== '') throw invalid('expected no user and password in the URL')
  if (url.protocol !== 'https:' && url.protocol !== 'http:') {
    throw invalid(`expected https:// or http://, got ${url.protocol}//`)
  }
  if (url.search !== '' || url.hash !== '') throw invalid('expected no query and no fragment in the URL')

  const path = url.pathname.replace(/\/+$/, '')
  const at = path.lastIndexOf('/')
  const word = path.slice(at + 1)
  const { pseudonymize, reidentify } = ACTIONS
  if (word !== pseudonymize && word !== reidentify) {
    throw invalid(`expected ${pseudonymize} or ${reidentify} as the last word of the path of ${url.origin}`)
  }
  const loopback = isLoopback(url.hostname)
  if (url.protocol === 'http:' && !loopback && options.allowHttp !== true) {
    throw invalid(`expected https://, as ${url.hostname} is not on loopback; service.allow_http: true permits http://`)
  }
  const prefix = path.slice(0, at + 1)
  return {
    origin: url.origin,
    paths: { pseudonymize: prefix + pseudonymize, reidentify: prefix + reidentify },
    name: url.origin + path,
    loopback,
  }
}

/** Names and addresses that never leave the machine. */
function isLoopback(hostname: string): boolean {
  return hostname === 'localhost' || hostname === '[::1]' || /^127\.\d+\.\d+\.\d+$/.test(hostname)
}

function invalid(message: string): PseudolakeError {
  return new PseudolakeError('config/invalid', `service.url: ${message}`, { key: 'service.url' })
}
