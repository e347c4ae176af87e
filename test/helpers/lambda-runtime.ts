/**
 * Lambda's side of a function: the Runtime API as a server on loopback, and the function's process under Node's own runtime interface client
 * (`aws-lambda-ric`), or under any other command that speaks the same.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface Invoked {
  /** `Unhandled`, where the function threw, or could not be loaded. */
  readonly functionError?: string
  readonly payload: Buffer
}

export interface LambdaProcess {
  /** Sends an event; one at a time, as a sandbox gets them. */
  invoke(event: string | object): Promise<Invoked>
  /** From the start of the process to its first question for an event. */
  readonly initMs: number
  /** What it has written so far: what CloudWatch would show. */
  output(): string
  readonly pid: number
  stop(): Promise<void>
}

export interface LambdaOptions {
  /** Program and its arguments: the runtime interface client, and `index.handler`. */
  readonly command: readonly [string, ...string[]]
  /** The function's bundle. */
  readonly folder: string
  readonly env: Readonly<Record<string, string>>
}

const NEXT = '/2018-06-01/runtime/invocation/next'
/** What Lambda takes and gives. */
const MAX_PAYLOAD_BYTES = 6_291_456

/** @throws where the function ends before it asks for its first event */
export async function startLambda({ command: [program, ...args], folder, env }: LambdaOptions): Promise<LambdaProcess> {
  let waiting: ServerResponse | undefined
  let came: () => void = () => undefined
  let answered: (answer: Invoked) => void = () => undefined
  const server = createServer(async (request, response) => {
    const { method, url = '' } = request
    if (method === 'GET' && url === NEXT) {
      waiting = response
      came()
      return
    }
    const payload = Buffer.concat(await request.toArray())
    response.writeHead(202).end('{}')
    if (url.endsWith('/response')) {
      if (payload.length > MAX_PAYLOAD_BYTES) return answered(failed('Function.ResponseSizeTooLarge'))
      answered({ payload })
    } else answered({ functionError: 'Unhandled', payload })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo

  const started = performance.now()
  const child = spawn(program, args, {
    cwd: folder,
    env: {
      PATH: process.env.PATH,
      AWS_LAMBDA_RUNTIME_API: `127.0.0.1:${port}`,
      AWS_LAMBDA_FUNCTION_NAME: 'pseudolake',
      AWS_LAMBDA_FUNCTION_VERSION: '$LATEST',
      AWS_LAMBDA_FUNCTION_MEMORY_SIZE: '1024',
      AWS_LAMBDA_LOG_GROUP_NAME: '/aws/lambda/pseudolake',
      AWS_LAMBDA_LOG_STREAM_NAME: '2026/01/31/[$LATEST]0123456789abcdef',
      AWS_EXECUTION_ENV: 'AWS_Lambda_nodejs24.x',
      LAMBDA_TASK_ROOT: folder,
      _HANDLER: 'index.handler',
      ...env,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr])
    stream?.on('data', (chunk: Buffer) => {
      output += chunk.toString()
    })
  const gone = new Promise<never>((_, reject) => {
    child.once('error', reject)
    child.once('close', (code, signal) =>
      reject(new Error(`the function ended (${signal ?? code}):\n${output.slice(-4000)}`)),
    )
  })
  gone.catch(() => undefined)
  const stop = () => stopped(child, server)
  try {
    await Promise.race([waiting ? undefined : new Promise<void>((resolve) => (came = resolve)), gone])
  } catch (error) {
    await stop()
    throw error
  }
  const initMs = performance.now() - started

  return {
    initMs,
    output: () => output,
    pid: child.pid as number,
    stop,
    async invoke(event) {
      const text = typeof event === 'string' ? event : JSON.stringify(event)
      if (Buffer.byteLength(text) > MAX_PAYLOAD_BYTES) throw new Error('RequestTooLargeException')
      if (!waiting) await Promise.race([new Promise<void>((resolve) => (came = resolve)), gone])
      const response = waiting as unknown as ServerResponse
      waiting = undefined
      const answer = new Promise<Invoked>((resolve) => (answered = resolve))
      response.writeHead(200, {
        'content-type': 'application/json',
        'lambda-runtime-aws-request-id': randomUUID(),
        'lambda-runtime-deadline-ms': String(Date.now() + 60_000),
        'lambda-runtime-invoked-function-arn': 'arn:aws:lambda:eu-west-1:123456789012:function:pseudolake',
        'lambda-runtime-trace-id': 'Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1',
      })
      response.end(text)
      return Promise.race([answer, gone])
    },
  }
}

function failed(errorType: string): Invoked {
  return { functionError: 'Unhandled', payload: Buffer.from(JSON.stringify({ errorType, errorMessage: errorType })) }
}

async function stopped(child: ChildProcess, server: ReturnType<typeof createServer>): Promise<void> {
  if (child.exitCode === null && child.signalCode === null && child.pid !== undefined) {
    const closed = new Promise((resolve) => child.once('close', resolve))
    child.kill('SIGKILL')
    await closed
  }
  server.closeAllConnections()
  await new Promise((resolve) => server.close(resolve))
}
