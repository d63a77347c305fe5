/**
 * Network requesters as a directory lists them (06-service-providers §9): out of the self-descriptions of all nodes, page by page.
 * Official nodes tell an address also when they run no requester: only the declared role tells. What is malformed is left out: one node
 * cannot hide the others.
 */
import { documentError, parseRecipient } from '@mixwright/wire'
import type { ListedRequester } from './topology.js'

/** Nodes of all pages, and pages: more is refused, so that no reading is endless. */
const MAX_NODES = 20_000
const MAX_PAGES = 64

/** What of a described node matters here; nothing of it is checked yet. */
interface Described {
  readonly description?: {
    readonly declared_role?: { readonly exit_nr?: unknown }
    readonly network_requester?: unknown
    readonly host_information?: { readonly keys?: { readonly ed25519?: unknown } }
  }
}

export async function readRequesters(
  get: (path: string) => Promise<unknown>,
  baseUrl: string,
): Promise<readonly ListedRequester[]> {
  const found: ListedRequester[] = []
  let listed = 0
  for (let page = 0; page < MAX_PAGES; page++) {
    const body = (await get(`/v1/nym-nodes/described?page=${page}`)) as {
      pagination?: { total?: unknown }
      data?: unknown
    } | null
    const total = body?.pagination?.total
    const data = body?.data
    if (typeof total !== 'number' || !Array.isArray(data) || total > MAX_NODES || data.length > MAX_NODES)
      throw documentError(baseUrl, 'the list of described nodes is no such list')
    for (const node of data as (Described | null)[]) {
      const { declared_role, network_requester, host_information } = node?.description ?? {}
      if (declared_role?.exit_nr === true)
        found.push(...listedRequester(network_requester, host_information?.keys?.ed25519))
    }
    listed += data.length
    if (listed >= total || data.length === 0) break
  }
  return found
}

/** One, or none. A requester inside a node has that node as its gateway. */
export function listedRequester(value: unknown, nodeIdentity: unknown): ListedRequester[] {
  const { address, uses_exit_policy } = (value ?? {}) as { address?: unknown; uses_exit_policy?: unknown }
  if (typeof address !== 'string' || typeof nodeIdentity !== 'string') return []
  if (parseRecipient(address, () => true) === undefined || !address.endsWith(`@${nodeIdentity}`)) return []
  return [{ address, gateway: nodeIdentity, usesExitPolicy: uses_exit_policy === true }]
}
