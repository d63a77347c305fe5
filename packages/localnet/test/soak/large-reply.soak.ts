/**
 * An answer of 10 MB to a question with ten reply blocks, on real sockets: all further blocks have to be asked for, some
 * hundred at a time, and the answer arrives whole.
 */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { describe, it } from 'node:test'
import { RealClock, SystemRandom } from '@mixwright/runtime'
import { Network } from '../../src/index.js'
import { Correspondent } from '../correspondent.js'
import { QUICK } from './quick.js'

const ANSWER_BYTES = QUICK ? 1_000_000 : 10_000_000
const REPLY_SURBS = 10

const sha256 = (data: Uint8Array) => createHash('sha256').update(data).digest('hex')

describe(`an answer of ${ANSWER_BYTES / 1e6} MB by ${REPLY_SURBS} reply blocks`, () => {
  for (const profile of ['no-cover', 'default'] as const) {
    it(`completes in profile ${profile}`, async (t) => {
      const clock = new RealClock()
      await using net = await Network.start()
      const options = { directory: net.nymApiUrl, profile }
      await using alice = await Correspondent.connect(options)
      await using bob = await Correspondent.connect(options)
      alice.client.send(bob.address, 'tell me all', { replySurbs: REPLY_SURBS })
      const question = await bob.message('tell me all')
      const data = new SystemRandom().bytes(ANSWER_BYTES)
      const startedAt = clock.monotonic()
      const reply = question.reply(data)
      await reply.acknowledged
      const seconds = (clock.monotonic() - startedAt) / 1000
      await alice.until(() => alice.received.length > 0)
      assert.equal(sha256(alice.received[0]!.data), sha256(data))
      assert.equal(alice.received.length, 1)

      const { packets, retransmissions } = reply.progress
      const { counters } = alice.client.status()
      t.diagnostic(
        `${seconds.toFixed(1)} s, ${(ANSWER_BYTES / 1e3 / seconds).toFixed(0)} kB/s; ${packets} packets, ` +
          `${retransmissions} of them again; for these the asker sent ${counters.packetsSent} packets, ` +
          `${counters.coverSent} of them cover; ${(process.memoryUsage.rss() / 1e6).toFixed(0)} MB resident at the end`,
      )
    })
  }
})
