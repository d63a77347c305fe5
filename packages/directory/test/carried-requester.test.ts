/** Network requesters that nodes carry (06-service-providers §9): which of them a directory believes, and where it lists them. */
import assert from 'node:assert/strict'
import { before, describe, it } from 'node:test'
import { type CryptoProvider, loadCryptoProvider } from '@mixwright/sphinx'
import {
  type CarriedRequester,
  canonicalJson,
  type DescribedNodeV2,
  encodeBase58,
  type NodeDescriptor,
  networkDocumentSchema,
  type Vote,
} from '@mixwright/wire'
import { documentSnapshot } from '../src/consensus/document-snapshot.js'
import { tally } from '../src/consensus/tally.js'
import { Directory } from '../src/directory.js'
import { descriptorOf as descriptorOfReading } from '../src/nodes/node-descriptor.js'
import { readNode } from '../src/nodes/node-reader.js'
import { authorityKey, descriptorOf, networkView, SCHEDULE, sortedNodes } from './consensus-network.js'
import { FakeNode, fiveNodes, LOOPBACK, options } from './fake-node.js'

let crypto: CryptoProvider
before(async () => {
  crypto = await loadCryptoProvider()
})

const key = (fill: number) => encodeBase58(crypto.x25519Base(new Uint8Array(32).fill(fill)))
const addressAt = (gateway: string) => `${key(1)}.${key(2)}@${gateway}`
const USED = { enabled: true, upstream_source: 'https://example.org/policy.txt', last_updated: 0, policy: null }

/** What a node answers on the routes of a requester; null: nothing. */
function carry(node: FakeNode, address: unknown, policy: unknown = USED, roles: Record<string, boolean> = {}): void {
  const answer = (path: string, body: unknown) =>
    node.overrides.set(`/api/v1${path}`, (_request, response) =>
      response.writeHead(body === null ? 501 : 200).end(body === null ? '' : JSON.stringify(body)),
    )
  answer('/roles', { ...(node.body('/api/v1/roles') as object), network_requester_enabled: true, ...roles })
  answer('/network-requester', address === null ? null : { address })
  answer('/network-requester/exit-policy', policy)
}

describe('the reading of a node', () => {
  let clock: ReturnType<typeof options>['clock']
  before(() => {
    clock = options(crypto, []).clock
  })

  /** What is read of a gateway that says this. */
  async function read(prepare: (node: FakeNode) => void, role: 'gateway' | 'mixnode' = 'gateway') {
    const node = await new FakeNode(crypto, 1, role).listen()
    try {
      prepare(node)
      const entry = { host: LOOPBACK, httpPort: node.port }
      const reading = await readNode(entry, { clock, crypto, allowLocalAddresses: true })
      return { requester: reading.networkRequester, role: reading.roles.network_requester_enabled }
    } finally {
      await node.close()
    }
  }
  const listed = (address: string, uses_exit_policy: boolean): CarriedRequester => ({ address, uses_exit_policy })

  it('knows the address, and whether a policy is used', async () => {
    const { identityKey } = new FakeNode(crypto, 1, 'gateway')
    const address = addressAt(identityKey)
    assert.deepEqual(await read((node) => carry(node, address)), { requester: listed(address, true), role: true })
    const unused = await read((node) => carry(node, address, { ...USED, enabled: false }))
    assert.deepEqual(unused.requester, listed(address, false))
  })

  it('takes policies of thousands of rules; one that is longer, malformed or absent counts as none', async () => {
    const address = addressAt(new FakeNode(crypto, 1, 'gateway').identityKey)
    const pattern = { ip_pattern: '203.0.113.0/24', ports: { start: 1, end: 65_535 } }
    const rules = (count: number) => ({
      ...USED,
      policy: { rules: Array.from({ length: count }, () => ({ action: 'reject', pattern })) },
    })
    for (const [policy, used] of [
      [rules(5_000), true],
      [rules(50_000), false],
      [{ enabled: 'yes' }, false],
      [null, false],
    ] as const)
      assert.deepEqual((await read((node) => carry(node, address, policy))).requester, listed(address, used))
  })

  it('leaves out an address that is none, or is at another gateway', async () => {
    const { identityKey } = new FakeNode(crypto, 1, 'gateway')
    const good = addressAt(identityKey)
    for (const address of [null, 7, '', 'x', addressAt(key(3)), good.replace('.', ''), `${good}${'1'.repeat(200)}`])
      assert.deepEqual(await read((node) => carry(node, address)), { requester: null, role: true }, String(address))
  })

  it('asks nobody who has not the role, or is no gateway', async () => {
    const address = addressAt(new FakeNode(crypto, 1, 'gateway').identityKey)
    const nobody = { requester: null, role: false }
    assert.deepEqual(await read((node) => carry(node, address, USED, { network_requester_enabled: false })), nobody)
    assert.deepEqual(await read((node) => carry(node, address), 'mixnode'), nobody)
  })
})

it('a directory describes an exit; without an IP router it is in no list of exit gateways', async () => {
  const nodes = await fiveNodes(crypto)
  const address = addressAt(nodes[4]!.identityKey)
  carry(nodes[4]!, address)
  const directory = await Directory.start(options(crypto, nodes))
  try {
    await directory.whenRoutable()
    const get = async (path: string) => (await fetch(`${directory.url}${path}`)).json()
    const none = { requester: null, role: { mixnode: false, entry: true, exit_nr: false, exit_ipr: false } }
    for (const version of [1, 2]) {
      const { data } = (await get(`/v${version}/nym-nodes/described`)) as { data: DescribedNodeV2[] }
      const told = data.map(({ description: { network_requester: requester, declared_role: role } }) => ({
        requester,
        role,
      }))
      assert.deepEqual(told.slice(3), [
        none,
        { requester: { address, uses_exit_policy: true }, role: { ...none.role, exit_nr: true } },
      ])
    }
    const ids = async (path: string) => {
      const { nodes } = (await get(`/v2/unstable/nym-nodes/skimmed${path}`)) as {
        nodes: { data: { node_id: number }[] }
      }
      return nodes.data.map(({ node_id }) => node_id)
    }
    assert.deepEqual(await ids('/exit-gateways'), [])
    assert.deepEqual(await ids('?role=exit-gateway'), [])
    assert.deepEqual(await ids('/entry-gateways'), [4, 5])

    carry(nodes[4]!, address, USED, { ip_packet_router_enabled: true })
    await directory.refresh()
    assert.deepEqual(await ids('/exit-gateways'), [5])

    carry(nodes[4]!, address, USED, { network_requester_enabled: false })
    await directory.refresh()
    const { data } = (await get('/v2/nym-nodes/described')) as { data: DescribedNodeV2[] }
    assert.equal(data[4]!.description.network_requester, null)
  } finally {
    await directory.close()
    await Promise.all(nodes.map((node) => node.close()))
  }
})

describe('what authorities agree on', () => {
  const exit = (requester: CarriedRequester | null): NodeDescriptor => {
    const descriptor = descriptorOf(crypto, 90, { entry: true })
    const declared_role = { ...descriptor.declared_role, exit_nr: requester !== null }
    return { ...descriptor, declared_role, network_requester: requester }
  }
  const gateway = () => encodeBase58(crypto.ed25519PublicKey(new Uint8Array(32).fill(90)))

  /** The document when each of three authorities has seen one of these. */
  function agreed(seen: readonly NodeDescriptor[]) {
    const mixnodes = networkView(crypto).filter(({ descriptor }) => descriptor.declared_role.mixnode)
    const votes = seen.map(
      (descriptor, author): Vote => ({
        version: 'mixwright-1',
        epoch_id: 1,
        round: 0,
        authority: authorityKey(crypto, author),
        schedule: SCHEDULE,
        previous: null,
        nodes: sortedNodes([...mixnodes, { descriptor, score: 100 }]),
      }),
    )
    const common = { authorities: 3, epochId: 1, round: 0, schedule: SCHEDULE, previous: undefined }
    return tally({ ...common, votes, isGenuine: () => true })
  }

  it('is signed: an address that one authority invents is not in the document, that of the others is', () => {
    const honest = { address: addressAt(gateway()), uses_exit_policy: true }
    const forged = { ...honest, address: `${key(8)}.${key(9)}@${gateway()}` }
    const document = agreed([exit(honest), exit(forged), exit(honest)])
    const text = canonicalJson(networkDocumentSchema, document)
    assert.ok(text.includes(honest.address) && !text.includes(forged.address))
  })

  it('is what their directories describe', () => {
    const honest = { address: addressAt(gateway()), uses_exit_policy: true }
    for (const requester of [honest, null]) {
      const document = agreed(Array(3).fill(exit(requester)))
      const schedule = { genesisMs: 0, durationMs: SCHEDULE.duration_ms, validityEpochs: SCHEDULE.validity_epochs }
      const snapshot = documentSnapshot(document, schedule, 1)
      const described = JSON.parse(snapshot.described(2).json) as { data: DescribedNodeV2[] }
      const { description } = described.data.find(({ description }) => description.declared_role.entry)!
      assert.deepEqual(description.network_requester, requester)
      assert.equal(description.declared_role.exit_nr, requester !== null)
      // The next vote says the same again.
      const { reading } = snapshot.listed.find(({ reading }) => reading.roles.gateway_enabled)!
      assert.deepEqual(descriptorOfReading({ ...reading, hostSignature: '' }).network_requester, requester)
    }
  })
})
