import type { ObservedCall } from './service.ts'

export interface EmfOptions {
  /** Takes a line, without its end, to where CloudWatch Logs reads: standard output in Lambda. */
  readonly write: (line: string) => void
  /** Milliseconds since 1970. */
  readonly now: () => number
  /** @default `pseudolake` */
  readonly namespace?: string
  /** Further dimensions of every metric, names of yours, as `{ service: 'vehicles' }`. */
  readonly dimensions?: Readonly<Record<string, string>>
}

const METRICS = [
  { Name: 'Requests', Unit: 'Count' },
  { Name: 'Values', Unit: 'Count' },
  { Name: 'Duration', Unit: 'Milliseconds' },
  { Name: 'Refused', Unit: 'Count' },
  { Name: 'Throttled', Unit: 'Count' },
  { Name: 'Failed', Unit: 'Count' },
] as const

/**
 * Metrics in CloudWatch's embedded format, a line for each call: where nobody comes to ask for `/metrics`, as in Lambda. Names and
 * numbers only; the request's and the trace's id are properties, no dimensions.
 * @returns for `observe` of `createApp`
 */
export function emf(options: EmfOptions): (call: ObservedCall) => void {
  const { write, now, namespace = 'pseudolake', dimensions = {} } = options
  const names = Object.keys(dimensions)
  return ({ route, status, code, seconds, values, requestId, traceId }) => {
    const line = {
      _aws: {
        Timestamp: Math.round(now()),
        CloudWatchMetrics: [{ Namespace: namespace, Dimensions: [[...names, 'route'], names], Metrics: METRICS }],
      },
      ...dimensions,
      route,
      status,
      ...(code !== undefined && { code }),
      request_id: requestId,
      ...(traceId !== undefined && { trace_id: traceId }),
      Requests: 1,
      Values: values ?? 0,
      Duration: Math.round(seconds * 1e6) / 1e3,
      Refused: status >= 400 && status < 500 && status !== 429 ? 1 : 0,
      Throttled: status === 429 ? 1 : 0,
      Failed: status >= 500 ? 1 : 0,
    }
    write(JSON.stringify(line))
  }
}
