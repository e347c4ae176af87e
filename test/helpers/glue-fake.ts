/**
 * A Glue Data Catalog in this process, over HTTP, so that the SDK's own client speaks to it: databases and tables with AWS's compare-and-swap
 * on VersionId (an UpdateTable without one overwrites whatever is there, as AWS lets it), and the faults that a real one has.
 */
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { GlueClient, type Table, type TableInput } from '@aws-sdk/client-glue'
import { onTestFinished } from 'vitest'

/**
 * - `lost`: done, and the connection breaks before the answer; `lost-500`: done, and the answer is a 500.
 * - `retried`: done, the answer lost, and the same request sent again below the caller, whose answer arrives.
 * - `late`: the connection breaks, and it is done when `arrive` is called.
 * - `reset`, `500`, `503`, `throttled`, `denied`, `lake-formation`, `limit`: not done.
 * - `silent`: not done, and never answered.
 * - `none`: nothing is wrong, for a place in the row.
 */
export type GlueFault =
  | 'none'
  | 'lost'
  | 'lost-500'
  | 'retried'
  | 'late'
  | 'reset'
  | '500'
  | '503'
  | 'throttled'
  | 'denied'
  | 'lake-formation'
  | 'limit'
  | 'silent'

export interface GlueFake {
  readonly url: string
  /** Actions that arrived, in order. */
  readonly calls: string[]
  readonly requests: { readonly action: string; readonly input: Input }[]
  readonly databases: Set<string>
  /** By `database.name`. */
  readonly tables: Map<string, Table>
  /** A client as compositions make it. */
  client(): GlueClient
  /** The next `times` calls of an action meet it. */
  fault(action: string, fault: GlueFault, times?: number): void
  /** What `late` kept back. */
  arrive(): void
  /** Milliseconds before each answer. */
  latency: number
}

interface Input {
  readonly DatabaseName?: string
  readonly Name?: string
  readonly CatalogId?: string
  readonly DatabaseInput?: { readonly Name: string }
  readonly TableInput?: TableInput
  readonly VersionId?: string
  readonly SkipArchive?: boolean
}

class Refused extends Error {
  readonly type: string
  readonly status: number
  constructor(type: string, message: string, status = 400) {
    super(message)
    this.type = type
    this.status = status
  }
}

/** @param databases that are there from the start */
export async function glueFake(databases: readonly string[] = ['db']): Promise<GlueFake> {
  const state = { databases: new Set(databases), tables: new Map<string, Table>() }
  const faults = new Map<string, GlueFault[]>()
  const late: (() => void)[] = []
  const calls: string[] = []
  const requests: GlueFake['requests'] = []
  const open = new Set<ServerResponse>()

  const server = createServer(async (request, response) => {
    open.add(response)
    response.once('close', () => open.delete(response))
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    const action = String(request.headers['x-amz-target']).replace(/^AWSGlue\./, '')
    const input = JSON.parse(Buffer.concat(chunks).toString('utf8')) as Input
    calls.push(action)
    requests.push({ action, input })
    if (fake.latency > 0) await new Promise((resolve) => setTimeout(resolve, fake.latency))
    const answer = () => perform(state, action, input)
    switch (faults.get(action)?.shift()) {
      case undefined:
      case 'none':
        return send(response, answer)
      case 'lost':
        return lose(response, answer)
      case 'lost-500':
        attempt(answer)
        return send(response, () => {
          throw new Refused('InternalServiceException', 'Internal failure', 500)
        })
      case 'retried':
        attempt(answer)
        return send(response, answer)
      case 'late':
        late.push(() => attempt(answer))
        return response.destroy()
      case 'reset':
        return response.destroy()
      case 'silent':
        return undefined
      case '500':
        return send(response, refuse('InternalServiceException', 'Internal failure', 500))
      case '503':
        return send(response, refuse('ServiceUnavailableException', 'Service unavailable', 503))
      case 'throttled':
        return send(response, refuse('ThrottlingException', 'Rate exceeded'))
      case 'limit':
        return send(response, refuse('ResourceNumberLimitExceededException', 'Number of TABLE_VERSION exceeded'))
      case 'denied':
        return send(response, refuse('AccessDeniedException', `User is not authorized to perform: glue:${action}`))
      case 'lake-formation':
        return send(
          response,
          refuse('AccessDeniedException', 'Insufficient Lake Formation permission(s): Required Alter on t'),
        )
    }
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(
    () =>
      new Promise<void>((resolve) => {
        for (const response of open) response.destroy()
        server.closeAllConnections()
        server.close(() => resolve())
      }),
  )
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`

  const fake: GlueFake = {
    url,
    calls,
    requests,
    ...state,
    latency: 0,
    client: () =>
      new GlueClient({
        endpoint: url,
        region: 'us-east-1',
        credentials: { accessKeyId: 'test', secretAccessKey: 'test' },
        maxAttempts: 1,
      }),
    fault(action, fault, times = 1) {
      faults.set(action, [...(faults.get(action) ?? []), ...Array<GlueFault>(times).fill(fault)])
    },
    arrive() {
      for (const each of late.splice(0)) each()
    },
  }
  return fake
}

function perform({ databases, tables }: Pick<GlueFake, 'databases' | 'tables'>, action: string, input: Input): object {
  const database = (input.DatabaseName ?? '').toLowerCase()
  const name = (input.Name ?? input.TableInput?.Name ?? '').toLowerCase()
  const key = `${database}.${name}`
  const there = tables.get(key)
  switch (action) {
    case 'GetDatabase':
      if (!databases.has(name)) throw new Refused('EntityNotFoundException', `Database ${name} not found.`)
      return { Database: { Name: name } }
    case 'CreateDatabase': {
      const wanted = input.DatabaseInput?.Name.toLowerCase() as string
      if (databases.has(wanted)) throw new Refused('AlreadyExistsException', 'Database already exists.')
      databases.add(wanted)
      return {}
    }
    case 'GetTable':
      if (!there) throw new Refused('EntityNotFoundException', `Entity Not Found`)
      return { Table: there }
    case 'CreateTable':
      if (!databases.has(database)) throw new Refused('EntityNotFoundException', `Database ${database} not found.`)
      if (there) throw new Refused('AlreadyExistsException', 'Table already exists.')
      tables.set(key, stored(database, name, input.TableInput as TableInput, 0))
      return {}
    case 'UpdateTable':
      if (!there) throw new Refused('EntityNotFoundException', `Entity Not Found`)
      if (input.VersionId !== undefined && input.VersionId !== there.VersionId)
        throw new Refused('ConcurrentModificationException', 'Update table failed due to concurrent modifications.')
      tables.set(key, stored(database, name, input.TableInput as TableInput, Number(there.VersionId) + 1))
      return {}
    case 'DeleteTable':
      if (!tables.delete(key)) throw new Refused('EntityNotFoundException', `Entity Not Found`)
      return {}
  }
  throw new Refused('UnknownOperationException', action)
}

/** What is not in the input is gone, as in AWS. */
function stored(database: string, name: string, input: TableInput, version: number): Table {
  return {
    ...(JSON.parse(JSON.stringify(input)) as TableInput),
    Name: name,
    DatabaseName: database,
    VersionId: String(version),
    CatalogId: '123456789012',
    CreatedBy: 'arn:aws:iam::123456789012:role/test',
    IsRegisteredWithLakeFormation: false,
  }
}

function refuse(type: string, message: string, status?: number): () => never {
  return () => {
    throw new Refused(type, message, status)
  }
}

function attempt(answer: () => object): void {
  try {
    answer()
  } catch (error) {
    if (!(error instanceof Refused)) throw error
  }
}

function lose(response: ServerResponse, answer: () => object): void {
  attempt(answer)
  response.destroy()
}

function send(response: ServerResponse, answer: () => object): void {
  try {
    reply(response, 200, answer())
  } catch (error) {
    if (!(error instanceof Refused)) throw error
    reply(response, error.status, { __type: error.type, Message: error.message })
  }
}

function reply(response: ServerResponse, status: number, body: object): void {
  const text = JSON.stringify(body)
  response.writeHead(status, {
    'content-type': 'application/x-amz-json-1.1',
    'content-length': Buffer.byteLength(text),
  })
  response.end(text)
}
