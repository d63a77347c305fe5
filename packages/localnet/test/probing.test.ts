/** A directory that probes a real network: whoever loses packets is found out, loses its layer, and gets it back. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { probeDoors } from '@mixwright/client/probe'
import { Directory } from '@mixwright/directory'
import { MemoryMetrics, RealClock, SeededRandom, silentLogger } from '@mixwright/runtime'
import { loadCryptoProvider } from '@mixwright/sphinx'
import { Network } from '../src/index.js'

const EPOCH_MS = 3_600_000

/** The time of day can be moved; timers run as ever. */
class ShiftedClock extends RealClock {
  shiftMs = 0

  override now(): number {
    return super.now() + this.shiftMs
  }
}

describe('probing a network', () => {
  it('a mix node that is dead to packets falls below the others, loses its layer, and gets it back', async () => {
    await using network = await Network.start({ mixes: 4, gateways: 2 })
    const crypto = await loadCryptoProvider()
    const clock = new ShiftedClock()
    const random = new SeededRandom('probing')
    const metrics = new MemoryMetrics()
    // A second directory that looks at the same nodes.
    const directory = await Directory.start({
      clock,
      random,
      logger: silentLogger,
      metrics,
      crypto,
      listen: { host: '127.0.0.1', port: 0 },
      nodes: network.nodes.map(({ httpUrl, identityKey }) => {
        return { host: '127.0.0.1', httpPort: Number(new URL(httpUrl).port), identityKey }
      }),
      epoch: { genesisMs: clock.now(), durationMs: EPOCH_MS, validityEpochs: 24 },
      allowLocalAddresses: true,
      probing: {
        intervalMs: EPOCH_MS,
        lostAfterMs: 2_000,
        averageDelayMs: 1,
        open: probeDoors({ clock, random, crypto }),
      },
    })
    try {
      await directory.whenRoutable()
      const shown = () => {
        const { nodes, layers } = directory.snapshot!
        return nodes.map(({ ed25519_identity_pubkey: identity, node_id, performance }) => {
          return { identity, performance: Number(performance), hasLayer: layers.flat().includes(node_id) }
        })
      }
      const rounds = async (count: number) => {
        for (let i = 0; i < count; i++) await directory.probe()
      }
      await rounds(3)
      assert.ok(shown().every(({ performance }) => performance === 1))
      const probes = metrics.value('mixwright_directory_probes_total', { outcome: 'home' })
      assert.equal(probes, 6)

      const double = directory.snapshot!.layers.find(({ length }) => length === 2)!
      const victim = directory.snapshot!.nodes.find(({ node_id }) => node_id === double[0])!.ed25519_identity_pubkey
      const handle = [0, 1, 2, 3].map((i) => network.mix(i)).find(({ identityKey }) => identityKey === victim)!
      await handle.stop()
      const isVictim = ({ identity }: { identity: string }) => identity === victim
      // A node that happened to be on all of the ways that failed is under suspicion too, until others clear it.
      const isFound = () => shown().every((node) => (isVictim(node) ? node.performance < 0.6 : node.performance > 0.85))
      for (let i = 0; i < 4 || (i < 30 && !isFound()); i++) await rounds(1)
      assert.ok(isFound(), JSON.stringify(shown()))
      assert.ok(shown().find(isVictim)!.hasLayer)
      clock.shiftMs += EPOCH_MS
      await directory.refresh()
      assert.ok(!shown().find(isVictim)!.hasLayer)
      assert.ok(directory.snapshot!.routable)
      const counts = (await (await fetch(`${directory.url}/v1/mixwright/probes`)).json()) as {
        nodes: { identity: string; sent: number; home: number }[]
      }
      const { sent, home } = counts.nodes.find(isVictim)!
      assert.ok(home >= 3 && sent >= home + 4)

      await handle.start()
      // What was lost is an hour old by then.
      clock.shiftMs += EPOCH_MS
      // The other nodes have to connect to it anew, so the first probes may be lost.
      for (let i = 0; i < 40 && shown().find(isVictim)!.performance < 0.8; i++) await rounds(1)
      await rounds(1)
      await directory.refresh()
      assert.ok(shown().find(isVictim)!.performance > 0.75, JSON.stringify(shown()))
      assert.ok(shown().find(isVictim)!.hasLayer)
    } finally {
      await directory.close()
    }
  })
})
