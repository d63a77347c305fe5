/**
 * Looking at directories from outside: the document of each with its signatures and those before it, and whether the lists for
 * official clients, which cannot check, say the same (03-directory §18).
 */
import { type VerifiedDirectory, verifyDirectory } from '@mixwright/directory'
import type { Clock } from '@mixwright/runtime'
import { type CryptoProvider, loadCryptoProvider } from '@mixwright/sphinx'
import {
  CONSENSUS_PATH,
  epochInUse,
  fetchBytes,
  fetchJson,
  fromJson,
  keyRotationInfoSchema,
  MAX_CONSENSUS_BYTES,
  type NetworkDocument,
  rewardedSetOf,
  rewardedSetSchema,
  rotationScheduleOf,
  type SkimmedNode,
  skimmedNode,
  skimmedNodesSchema,
  verifyConsensus,
} from '@mixwright/wire'

export interface DirectoryFindings {
  readonly url: string
  readonly epochId?: number
  /** Of the document, hexadecimal. */
  readonly sha256?: string
  readonly signers?: readonly string[]
  readonly nodes?: number
  /** Documents before it that were found and fit. */
  readonly chain: number
  /** None: all is well. */
  readonly problems: readonly string[]
}

/** Documents before the present one that are looked at. */
const LINKS = 8
const DEADLINE_MS = 15_000
const MAX_LIST_BYTES = 16 * 1024 * 1024

interface Pins {
  readonly keys: readonly string[]
  readonly threshold: number | undefined
  readonly crypto: CryptoProvider
  readonly clock: Clock
}

/** Error: `MIX_OPTIONS` for keys or a threshold that are none. Everything else is a finding. */
export async function verifyLists(
  urls: readonly string[],
  keys: readonly string[],
  threshold: number | undefined,
  clock: Clock,
): Promise<DirectoryFindings[]> {
  const crypto = await loadCryptoProvider()
  const { documents, trouble } = await verifyDirectory(urls, keys, {
    clock,
    crypto,
    ...(threshold !== undefined && { threshold }),
  })
  const pins = { keys, threshold, crypto, clock }
  const good = documents.map((document) => look(document, pins))
  const bad = trouble.map(({ url, reason }) => ({ url, chain: 0, problems: [reason] }))
  const findings = [...(await Promise.all(good)), ...bad]
  return urls.flatMap((url) => findings.find((finding) => finding.url === url) ?? [])
}

async function look(directory: VerifiedDirectory, pins: Pins): Promise<DirectoryFindings> {
  const { url, epochId, sha256, signers, nodes, routable } = directory
  const problems: string[] = routable ? [] : ['the document lists no whole network']
  const late = new AbortController()
  const timer = pins.clock.setTimer(DEADLINE_MS, () => late.abort(new Error('it does not answer in time')))
  let chain = 0
  try {
    const base = url.replace(/\/+$/, '')
    const document = await documentAt(`${base}${CONSENSUS_PATH}/${epochId}`, sha256, pins, late.signal)
    problems.push(...(await compareLists(base, document, pins.clock, late.signal)))
    chain = await followChain(base, document, pins, late.signal)
  } catch (error) {
    problems.push((error as Error).message)
  } finally {
    timer.cancel()
  }
  return { url, epochId, sha256, signers, nodes, chain, problems }
}

/** The document with this hash. Throws when another is there, or none. */
async function documentAt(url: string, sha256: string, pins: Pins, signal: AbortSignal): Promise<NetworkDocument> {
  const bytes = await fetchBytes(globalThis.fetch, url, MAX_CONSENSUS_BYTES, signal)
  const verified = verifyConsensus(pins.crypto, bytes, pins.keys, pins.threshold)
  if (typeof verified === 'string') throw new Error(`the document at ${url} is not to be believed: ${verified}`)
  if (verified.sha256 !== sha256) throw new Error(`the document at ${url} is ${verified.sha256}, not ${sha256}`)
  return verified.document
}

/** How many documents before this one are there; those that are must be the ones that it names. */
async function followChain(base: string, newest: NetworkDocument, pins: Pins, signal: AbortSignal): Promise<number> {
  let document = newest
  for (let links = 0; links < LINKS; links++) {
    const { previous } = document
    if (previous === null) return links
    const url = `${base}${CONSENSUS_PATH}/${previous.epoch_id}`
    const response = await globalThis.fetch(url, { method: 'HEAD', signal })
    // Directories keep the last few.
    if (response.status === 404) return links
    document = await documentAt(url, previous.sha256, pins, signal)
  }
  return LINKS
}

/** What official clients are told, beside what was signed. */
async function compareLists(
  base: string,
  document: NetworkDocument,
  clock: Clock,
  signal: AbortSignal,
): Promise<string[]> {
  const ask = (path: string) => fetchJson(globalThis.fetch, base + path, MAX_LIST_BYTES, signal)
  const epochId = epochInUse(document, clock.now())
  const { rotationId } = rotationScheduleOf(document.schedule, epochId)
  const signedNodes = document.nodes.map((node) => skimmedNode(node, rotationId))
  const problems: string[] = []
  const compare = (path: string, served: unknown, signed: unknown) => {
    if (JSON.stringify(served) !== JSON.stringify(signed)) problems.push(`${path} is not what was signed`)
  }

  const lists: readonly (readonly [string, (node: SkimmedNode) => boolean])[] = [
    ['', () => true],
    ['/mixnodes/active', ({ supported_roles, role }) => supported_roles.mixnode && role !== 'Inactive'],
    ['/mixnodes/all', ({ supported_roles }) => supported_roles.mixnode],
    ['/entry-gateways', ({ supported_roles }) => supported_roles.entry],
  ]
  for (const [name, belongs] of lists) {
    const path = `/v2/unstable/nym-nodes/skimmed${name}`
    const { metadata, nodes } = fromJson(skimmedNodesSchema, await ask(path))
    if (metadata.absolute_epoch_id !== epochId || metadata.rotation_id !== rotationId)
      problems.push(`${path} is of epoch ${metadata.absolute_epoch_id}, not ${epochId}`)
    compare(path, nodes.data, signedNodes.filter(belongs))
  }
  const rewarded = '/v1/nym-nodes/rewarded-set'
  compare(rewarded, fromJson(rewardedSetSchema, await ask(rewarded)), rewardedSetOf(document, epochId))
  const rotation = '/v1/epoch/key-rotation-info'
  const { current_absolute_epoch_id, progress } = fromJson(keyRotationInfoSchema, await ask(rotation))
  compare(rotation, [current_absolute_epoch_id, progress.current_key_rotation_id], [epochId, rotationId])
  return problems
}
