import { HEADERS } from '../lib/wire/contract.ts'

/**
 * The trace that a request belongs to, as X-Ray and W3C name it. Pure. Only what has the exact form is taken: an id is hex digits and
 * nothing else, so that no value gets into a log this way.
 */
export interface Trace {
  /** 32 hex digits, as W3C has it; X-Ray's `1-58406520-a006649127e371903a2de979` without its signs. */
  readonly id: string
  /** For the answer and for calls that are made for this one; in lower case, as far as they came. */
  readonly headers: Readonly<Record<string, string>>
}

const TRACEPARENT = /^[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}$/
const ROOT = /^1-([0-9a-f]{8})-([0-9a-f]{24})$/
const PARENT = /^[0-9a-f]{16}$/

/** Undefined where the request is of no trace. Of both, W3C's names it. */
export function traceOf(header: (name: string) => string | undefined): Trace | undefined {
  const parent = header(HEADERS.traceparent)
  const w3c = parent === undefined ? undefined : readTraceparent(parent)
  const xray = readXray(header(HEADERS.xray) ?? '')
  const id = w3c ?? xray?.id
  if (id === undefined) return undefined
  return {
    id,
    headers: {
      ...(w3c !== undefined && parent !== undefined && { [HEADERS.traceparent]: parent }),
      ...(xray && { [HEADERS.xray]: xray.text }),
    },
  }
}

function readTraceparent(text: string): string | undefined {
  const [, id = '', span = ''] = TRACEPARENT.exec(text) ?? []
  const isZero = /^0*$/
  return isZero.test(id) || isZero.test(span) || text.startsWith('ff') ? undefined : id
}

/** `Root=1-…;Parent=…;Sampled=1`, in any order; fields of other services are left out. */
function readXray(text: string): { readonly id: string; readonly text: string } | undefined {
  if (text.length > 512) return undefined
  const fields = new Map<string, string>()
  for (const part of text.split(';')) {
    const at = part.indexOf('=')
    if (at > 0) fields.set(part.slice(0, at).trim(), part.slice(at + 1).trim())
  }
  const root = fields.get('Root') ?? ''
  const [, seconds, rest] = ROOT.exec(root) ?? []
  if (seconds === undefined || rest === undefined) return undefined
  const parent = fields.get('Parent')
  const sampled = fields.get('Sampled')
  const kept = [
    `Root=${root}`,
    ...(parent !== undefined && PARENT.test(parent) ? [`Parent=${parent}`] : []),
    ...(sampled === '0' || sampled === '1' ? [`Sampled=${sampled}`] : []),
  ]
  return { id: seconds + rest, text: kept.join(';') }
}
