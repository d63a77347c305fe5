/**
 * Reading a node over its own HTTP API and deciding whether to believe it (03-directory §8.1). Bounded in time and size:
 * a node is a stranger. What comes out is whole and checked, or a reason.
 */
import { Agent, request } from 'node:http'
import { type Clock, MixError } from '@mixwright/runtime'
import type { CryptoProvider } from '@mixwright/sphinx'
import {
  type AuxiliaryDetails,
  auxiliaryDetailsSchema,
  type BuildInformation,
  buildInformationSchema,
  type CarriedRequester,
  fromJson,
  type HostInformation,
  isFairDescriptor,
  parseHostInformation,
  parseRecipient,
  verifyHostInformation,
  type Websockets,
  websocketsSchema,
} from '@mixwright/wire'
import { z } from 'zod'
import { descriptorOf } from './node-descriptor.js'

/** Whole answer of one route, bytes. */
const MAX_BODY_BYTES = 65_536
/** Of an exit policy; the usual ones have a thousand rules of 100 bytes. */
const MAX_POLICY_BYTES = 1024 * 1024
/** One route, from the connection to the last byte, milliseconds. */
const REQUEST_MS = 5_000

/** For the routes of one node; a reading is over when they are closed. */
const CONNECTIONS = 2

/** A node to be read. */
export interface NodeEntry {
  /** Unique and stable; from 1. @default the number that the directory gave this identity before, else the next free one */
  readonly nodeId?: number
  /** Name or IP address. */
  readonly host: string
  readonly httpPort: number
  /** Base58 Ed25519 key that the node must show. @default any */
  readonly identityKey?: string
}

/**
 * The node whose HTTP API is at `url`, such as `http://203.0.113.7:8080`; 80 is the port without one. Error: `MIX_OPTIONS`, naming
 * the `option` that it was given in.
 */
export function nodeEntryOf(url: string, option: string): NodeEntry {
  const parsed = URL.canParse(url) ? new URL(url) : undefined
  if (parsed?.protocol === 'http:' && parsed.pathname === '/')
    return { host: parsed.hostname.replace(/^\[|\]$/g, ''), httpPort: Number(parsed.port || 80) }
  const message = `${option}: ${JSON.stringify(url)} is not the HTTP API of a node, such as http://203.0.113.7:8080.`
  throw new MixError('MIX_OPTIONS', message, { kind: 'usage', data: { option, url } })
}

/** Who is no gateway is no exit, whatever it carries (06-service-providers §9). */
const rolesSchema = z
  .object({
    mixnode_enabled: z.boolean(),
    gateway_enabled: z.boolean(),
    network_requester_enabled: z.boolean(),
    ip_packet_router_enabled: z.boolean(),
  })
  .transform((roles) => ({
    ...roles,
    network_requester_enabled: roles.gateway_enabled && roles.network_requester_enabled,
    ip_packet_router_enabled: roles.gateway_enabled && roles.ip_packet_router_enabled,
  }))

/** What a node said, checked. */
export interface NodeReading {
  readonly readAtMs: number
  readonly hostInformation: HostInformation
  readonly roles: z.infer<typeof rolesSchema>
  readonly buildInformation: BuildInformation
  readonly websockets: Websockets
  readonly auxiliaryDetails: AuxiliaryDetails
  /** Null when it carries none. */
  readonly networkRequester: CarriedRequester | null
}

/** With the node's signature of its host information, base58. */
export interface SignedNodeReading extends NodeReading {
  readonly hostSignature: string
}

export interface NodeReaderOptions {
  readonly clock: Clock
  readonly crypto: CryptoProvider
  /** Whether nodes may announce loopback, multicast and unspecified addresses. */
  readonly allowLocalAddresses: boolean
}

const NO_AUXILIARY_DETAILS: AuxiliaryDetails = {
  location: null,
  announce_ports: { verloc_port: null, mix_port: null },
  accepted_operator_terms_and_conditions: false,
}

/**
 * Read and verify one node. Error: `MIX_NODE_REFUSED` with the reason, `retry` when it was only unreachable.
 */
export async function readNode(entry: NodeEntry, options: NodeReaderOptions): Promise<SignedNodeReading> {
  const { clock } = options
  const agent = new Agent({ keepAlive: true, maxSockets: CONNECTIONS })
  try {
    const get: Get = (path, maxBytes = MAX_BODY_BYTES) => getJson(clock, agent, entry, `/api/v1${path}`, maxBytes)
    return await readAll(entry, get, options)
  } finally {
    agent.destroy()
  }
}

async function readAll(
  entry: NodeEntry,
  get: Get,
  { clock, crypto, allowLocalAddresses }: NodeReaderOptions,
): Promise<SignedNodeReading> {
  const required = async <T>(path: string, parse: (value: unknown) => T): Promise<T> => {
    const answer = await get(path)
    if (answer.status !== 200) throw refusal(entry, `${path} answers ${answer.status}`, answer.status >= 500)
    try {
      return parse(answer.body)
    } catch {
      throw refusal(entry, `${path} is malformed`)
    }
  }
  const [, signed, roles, buildInformation, websockets, auxiliary] = await Promise.all([
    required('/health', (body) => z.object({ status: z.literal('up') }).parse(body)),
    required('/host-information', parseHostInformation),
    required('/roles', (body) => rolesSchema.parse(body)),
    required('/build-information', (body) => fromJson(buildInformationSchema, body)),
    required('/gateway/client-interfaces/mixnet-websockets', (body) => fromJson(websocketsSchema, body)),
    get('/auxiliary-details'),
  ])
  const { data } = signed
  const networkRequester = roles.network_requester_enabled ? await readRequester(get, data.keys.ed25519_identity) : null
  if (entry.identityKey !== undefined && data.keys.ed25519_identity !== entry.identityKey) {
    throw refusal(entry, `it shows the identity ${data.keys.ed25519_identity} instead of ${entry.identityKey}`)
  }
  if (!verifyHostInformation(crypto, signed)) throw refusal(entry, 'the signature of its host information is invalid')
  if (data.ip_address.length === 0) throw refusal(entry, 'it announces no address')
  const local = allowLocalAddresses ? undefined : data.ip_address.find(isLocal)
  if (local !== undefined) throw refusal(entry, `it announces ${local}, which nobody else can reach`)
  const reading = {
    readAtMs: clock.now(),
    hostInformation: data,
    hostSignature: signed.signature,
    roles,
    buildInformation,
    websockets,
    auxiliaryDetails: readAuxiliary(auxiliary),
    networkRequester,
  }
  // So that ten thousand nodes, and the votes on them, have a size.
  if (!isFairDescriptor(descriptorOf(reading))) throw refusal(entry, 'it says too much about itself')
  return reading
}

/** Optional for a node: defaults stand in for what is absent or unreadable. */
function readAuxiliary({ status, body }: HttpAnswer): AuxiliaryDetails {
  if (status !== 200) return NO_AUXILIARY_DETAILS
  try {
    return fromJson(auxiliaryDetailsSchema, body)
  } catch {
    return NO_AUXILIARY_DETAILS
  }
}

/** Longest address: three keys in base58. */
const ADDRESS_CHARACTERS = 140

/** Null also where a node that says it carries one does not say where, or names another gateway than itself. */
async function readRequester(get: Get, nodeIdentity: string): Promise<CarriedRequester | null> {
  const [requester, policy] = await Promise.all([
    get('/network-requester'),
    // One that cannot be read counts as none: the node is an exit all the same.
    get('/network-requester/exit-policy', MAX_POLICY_BYTES).catch((): HttpAnswer => ({ status: 0, body: undefined })),
  ])
  const { success, data } = z.object({ address: z.string().max(ADDRESS_CHARACTERS) }).safeParse(requester.body)
  if (!success || parseRecipient(data.address, () => true) === undefined) return null
  if (!data.address.endsWith(`@${nodeIdentity}`)) return null
  const used = z.object({ enabled: z.boolean() }).safeParse(policy.body)
  return { address: data.address, uses_exit_policy: used.success && used.data.enabled }
}

/** Unspecified, loopback or multicast: what no other host can send to. */
export function isLocal(ip: string): boolean {
  return ip === '::' || ip === '::1' || ip === '0.0.0.0' || /^(127|22[4-9]|23\d)\./.test(ip) || /^ff/.test(ip)
}

interface HttpAnswer {
  readonly status: number
  /** Parsed JSON; undefined when it is none. */
  readonly body: unknown
}

/** Ask one route. Error: `MIX_NODE_REFUSED`. */
type Get = (path: string, maxBytes?: number) => Promise<HttpAnswer>

function getJson(clock: Clock, agent: Agent, entry: NodeEntry, path: string, maxBytes: number): Promise<HttpAnswer> {
  return new Promise((resolve, reject) => {
    const outgoing = request({
      host: entry.host,
      port: entry.httpPort,
      path,
      agent,
      headers: { accept: 'application/json' },
    })
    const timer = clock.setTimer(
      REQUEST_MS,
      () => outgoing.destroy(new Error(`no answer within ${REQUEST_MS / 1000} seconds`)),
      { background: true },
    )
    const fail = (why: string) => {
      timer.cancel()
      reject(refusal(entry, `${path}: ${why}`, true))
    }
    outgoing.once('error', (error: NodeJS.ErrnoException) => fail(error.code ?? error.message))
    outgoing.once('response', (response) => {
      const chunks: Buffer[] = []
      let length = 0
      response.on('data', (chunk: Buffer) => {
        length += chunk.length
        if (length > maxBytes) outgoing.destroy(new Error(`more than ${maxBytes} bytes`))
        else chunks.push(chunk)
      })
      response.once('error', (error) => fail(error.message))
      response.once('end', () => {
        timer.cancel()
        let body: unknown
        try {
          body = JSON.parse(Buffer.concat(chunks).toString('utf8'))
        } catch {
          body = undefined
        }
        resolve({ status: response.statusCode ?? 0, body })
      })
    })
    outgoing.end()
  })
}

/** Error of a node that is not believed. */
export function refusal(entry: NodeEntry, reason: string, retry = false): MixError {
  const { host, httpPort } = entry
  const message = `The node at ${host}:${httpPort} is refused: ${reason}.`
  return new MixError('MIX_NODE_REFUSED', message, { kind: 'peer', retry, data: { host, httpPort, reason } })
}
