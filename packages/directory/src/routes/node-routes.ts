/**
 * The routes that nodes post to (03-directory §2, §5.3, §18): whose addresses these are, read me again, and register me. Bodies
 * come from strangers and are bounded.
 */
import type { Metrics } from '@mixwright/runtime'
import { nodeAddress } from '@mixwright/sphinx'
import { nodesByAddressesSchema } from '@mixwright/wire'
import { type Context, Hono } from 'hono'
import { Document, type Snapshot } from '../document/snapshot.js'
import type { RefreshRequests } from '../nodes/refresh-request.js'
import type { Registrations } from '../nodes/registration.js'
import type { RequestBodies } from './request-body.js'
import { answer, badOutput } from './routes.js'

export interface NodeRouteOptions {
  readonly metrics: Metrics
  readonly bodies: RequestBodies
  readonly refreshRequests: RefreshRequests
  /** Undefined: nobody may register. */
  readonly registrations: Registrations | undefined
  snapshot(): Snapshot | undefined
  /** Publish soon. */
  published(): Promise<void>
}

const MAX_BODY_BYTES = 16_384
const MOST_ADDRESSES = 100

export function nodeRoutes(options: NodeRouteOptions): Hono {
  const { metrics, bodies, refreshRequests, registrations, snapshot, published } = options
  const api = new Hono()
  const post = (path: string, serve: (context: Context, body: unknown) => Promise<Response> | Response) =>
    api.post(path, async (context) => {
      const body = await bodies.json(context.req.raw, MAX_BODY_BYTES)
      const response = 'reason' in body ? context.text(body.reason, body.status) : await serve(context, body.value)
      metrics
        .counter('mixwright_directory_posts_total', 'Requests of nodes, by answer', {
          route: path,
          status: String(response.status),
        })
        .increment()
      return response
    })

  post('/v1/unstable/nym-nodes/by-addresses', (context, body) => {
    const asked = addressesOf(body)
    if (typeof asked === 'string') return context.text(asked, 400)
    const current = snapshot()
    const existence = Object.fromEntries(asked.map((ip) => [ip, current?.nodeAt(ip) ?? null]))
    return badOutput(context) ?? answer(context, new Document({ existence }, nodesByAddressesSchema))
  })

  post('/v1/nym-nodes/refresh-described', async (context, body) => {
    const refusal = await refreshRequests.serve(body)
    return refusal ? context.text(refusal.reason, refusal.status) : context.json(null)
  })

  post('/v1/mixwright/register', async (context, body) => {
    if (registrations === undefined) return context.text('this directory takes no registrations', 403)
    const result = await registrations.serve(body)
    const outcome = 'kind' in result ? result.kind : 'listed'
    metrics.counter('mixwright_directory_registrations_total', 'Registrations, by outcome', { outcome }).increment()
    if ('kind' in result) return context.text(`${result.kind}: ${result.reason}`, result.status)
    void published()
    return context.json({ node_id: result.nodeId })
  })
  return api
}

/** The addresses asked after, in canonical text; or what is wrong with the question. */
function addressesOf(body: unknown): string[] | string {
  const addresses = (body as { addresses?: unknown } | null)?.addresses
  if (!Array.isArray(addresses)) return 'addresses: expected a list of IP addresses'
  if (addresses.length > MOST_ADDRESSES) return `addresses: at most ${MOST_ADDRESSES}`
  const canonical = addresses.flatMap((text) => (typeof text === 'string' && nodeAddress(text, 0)?.host) || [])
  return canonical.length === addresses.length ? canonical : 'addresses: expected a list of IP addresses'
}
