/**
 * The HTTP routes that clients call (03-directory §2, §5), under `/api` and under no prefix. Formats are chosen by the
 * query alone; every answer, errors too, carries the CORS headers, and preflights are answered.
 */
import type { Counter, Metrics } from '@mixwright/runtime'
import { healthSchema, type KeyRotationInfo } from '@mixwright/wire'
import { type Context, Hono } from 'hono'
import { networkDetails } from '../document/network-details.js'
import { Document, type NodeListName, type Snapshot } from '../document/snapshot.js'

export interface RouteOptions {
  readonly metrics: Metrics
  /** The snapshot in force; undefined before the first. */
  snapshot(): Snapshot | undefined
  /** Base URL, as shown to clients in the network details. */
  url(): string
  uptimeSeconds(): number
  /** The schedule, for nodes that ask before there is a snapshot. @default from the snapshot alone */
  rotationInfo?(): KeyRotationInfo
  /** Resolves when there is a snapshot, or it has been waited for long enough. @default at once */
  whenSnapshot?(): Promise<void>
  /** Further routes, such as those of nodes. @default none */
  readonly more?: readonly Hono[]
}

/** How long after its epoch a list may still be kept by a browser, milliseconds (03-directory §1). */
const EXPIRY_GRACE_MS = 120_000
const MAX_U32 = 0xffff_ffff
/** In the words of official servers. */
const NOT_READY = "relevant cache hasn't been initialised yet"

const CORS = {
  'access-control-allow-origin': '*',
  'access-control-allow-methods': 'GET,POST',
  'access-control-allow-headers': '*',
}

/** The routes alone, for any server. */
export function directoryRoutes(options: RouteOptions): Hono {
  const app = new Hono()
  app.use('*', async (context, next) => {
    if (context.req.method === 'OPTIONS') return context.body(null, 200, CORS)
    await next()
    for (const [name, value] of Object.entries(CORS)) context.res.headers.set(name, value)
    context.res.headers.set('cache-control', 'no-store')
  })
  app.notFound((context) => context.text('there is nothing here', 404))
  app.onError((_error, context) => context.text('internal error', 500))
  for (const routes of [apiRoutes(options), ...(options.more ?? [])]) {
    app.route('/api', routes)
    app.route('/', routes)
  }
  return app
}

function apiRoutes({ metrics, snapshot, url, uptimeSeconds, rotationInfo, whenSnapshot }: RouteOptions): Hono {
  const api = new Hono()
  const requests = (route: string, output: string): Counter =>
    metrics.counter('mixwright_directory_requests_total', 'Requests answered', { route, output })

  /** Answer `path` with a document of the snapshot in force. */
  const get = (path: string, document: (snapshot: Snapshot, context: Context) => Document | undefined) =>
    api.get(path, async (context) => {
      const problem = badParameter(context)
      if (problem !== undefined) return context.text(problem, 400)
      if (snapshot() === undefined) await whenSnapshot?.()
      const current = snapshot()
      if (current === undefined) return context.text(NOT_READY, 503)
      const found = document(current, context)
      if (found === undefined) return context.text('there is nothing here', 404)
      requests(path, context.req.query('output') ?? 'json').increment()
      return answer(context, found)
    })

  const list = (path: string, name: NodeListName) =>
    get(path, (current, context) => {
      if (name === 'mixnodes-active') expires(context, current)
      if (name === 'all') return current.nodeList(listForRole(context.req.query('role')) ?? 'all')
      const known = context.req.query('epoch_id')
      return known !== undefined && Number(known) === current.interval.current_epoch_id
        ? current.noUpdates
        : current.nodeList(name)
    })
  const lists = [
    ['', 'all'],
    ['/mixnodes/active', 'mixnodes-active'],
    ['/mixnodes/all', 'mixnodes-all'],
    ['/entry-gateways', 'entry-gateways'],
    ['/exit-gateways', 'exit-gateways'],
  ] as const
  for (const [path, name] of lists) list(`/v2/unstable/nym-nodes/skimmed${path}`, name)

  // The older wrappers of the same lists, for programs that still ask for them.
  const oldLists = [
    ['skimmed', 'all'],
    ['skimmed/active', 'all'],
    ['skimmed/mixnodes/active', 'mixnodes-active'],
    ['skimmed/mixnodes/all', 'mixnodes-all'],
    ['skimmed/entry-gateways/active', 'entry-gateways'],
    ['skimmed/entry-gateways/all', 'entry-gateways'],
    ['skimmed/exit-gateways/active', 'exit-gateways'],
    ['skimmed/exit-gateways/all', 'exit-gateways'],
  ] as const
  for (const [path, name] of oldLists) get(`/v1/unstable/nym-nodes/${path}`, (current) => current.nodeListV1(name))
  get('/v1/unstable/nym-nodes/mixnodes/skimmed', (current) => current.cachedNodes('mixnodes-active'))
  get('/v1/unstable/nym-nodes/gateways/skimmed', (current) => current.cachedNodes('entry-gateways'))

  get('/v1/nym-nodes/rewarded-set', (current) => current.rewardedSetDocument)
  get('/v2/unstable/nym-nodes/semi-skimmed', (current) => current.semiSkimmed)
  api.get('/v1/epoch/key-rotation-info', (context) => {
    const path = '/v1/epoch/key-rotation-info'
    const current = snapshot()?.keyRotationInfo ?? (rotationInfo && new Document(rotationInfo()))
    if (current === undefined) return context.text(NOT_READY, 503)
    requests(path, context.req.query('output') ?? 'json').increment()
    return badOutput(context) ?? answer(context, current)
  })
  get('/v1/epoch/current', (current) => current.currentEpoch)
  get('/v1/nym-nodes/described', (current) => current.described(1))
  get('/v2/nym-nodes/described', (current) => current.described(2))

  api.get('/v1/api-status/health', (context) => {
    const health = { status: 'up', chain_status: 'unknown', uptime: uptimeSeconds() } as const
    return badOutput(context) ?? answer(context, new Document(health, healthSchema))
  })
  api.get(
    '/v1/network/details',
    (context) => badOutput(context) ?? answer(context, new Document(networkDetails(url()))),
  )
  return api
}

/** A document in the format that the query asks for. */
export function answer(context: Context, document: Document): Response {
  if (context.req.query('output') !== 'bincode')
    return context.body(document.json, 200, { 'content-type': 'application/json' })
  const { bincode } = document
  // Official servers fail likewise on types that bincode cannot express.
  if (bincode === undefined) return context.text('this document has no bincode form', 500)
  return context.body(bincode as Uint8Array<ArrayBuffer>, 200, { 'content-type': 'application/bincode' })
}

function expires(context: Context, { epoch }: Snapshot): void {
  context.header('expires', new Date(epoch.endMs + EXPIRY_GRACE_MS).toUTCString())
}

/** The list that `?role=` asks for; the aliases are official. */
function listForRole(role: string | undefined): NodeListName | undefined {
  switch (role) {
    case 'active-mixnode':
      return 'mixnodes-all'
    case 'entry-gateway':
    case 'entry':
    case 'gateway':
      return 'entry-gateways'
    case 'exit-gateway':
    case 'exit':
      return 'exit-gateways'
    default:
      return undefined
  }
}

/** The refusal of a query that is malformed. */
export function badOutput(context: Context): Response | undefined {
  const problem = badParameter(context)
  return problem === undefined ? undefined : context.text(problem, 400)
}

/** A text when a known parameter has a value of the wrong kind; unknown parameters are ignored. */
function badParameter(context: Context): string | undefined {
  const output = context.req.query('output')
  if (output !== undefined && output !== 'json' && output !== 'bincode') {
    return 'output: unknown format, expected json or bincode'
  }
  for (const name of ['page', 'per_page', 'epoch_id']) {
    const value = context.req.query(name)
    if (value !== undefined && !(/^\d{1,10}$/.test(value) && Number(value) <= MAX_U32))
      return `${name}: expected a number`
  }
  const noLegacy = context.req.query('no_legacy')
  if (noLegacy !== undefined && noLegacy !== 'true' && noLegacy !== 'false') return 'no_legacy: expected true or false'
  const role = context.req.query('role')
  if (role !== undefined && listForRole(role) === undefined) return 'role: unknown role'
  return undefined
}
