import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { fileURLToPath } from 'node:url'
import { MemoryMetrics, RealClock, silentLogger } from '@mixwright/runtime'
import { GatewayDatabase } from '../src/gateway/store/gateway-database.js'
import { Mailbox } from '../src/gateway/store/mailbox.js'

const MESSAGES = 10_000

describe('kill -9 while 10 000 messages arrive', () => {
  for (const killAfter of [1, 500, 3_000, 9_000]) {
    it(`after ${killAfter} were accepted: every accepted one is there, in order`, async (t) => {
      const scratch = mkdtempSync(join(tmpdir(), 'mixwright-crash-'))
      const path = join(scratch, 'gateway.sqlite')
      const program = fileURLToPath(new URL('./mailbox-writer.js', import.meta.url))
      const child = spawn(process.execPath, [program, path, String(MESSAGES)], { stdio: ['ignore', 'pipe', 'inherit'] })
      let output = ''
      child.stdout.on('data', (chunk) => {
        output += chunk
        if (output.split('\n').length > killAfter) child.kill('SIGKILL')
      })
      await once(child, 'close')
      // A line that was cut off is no acceptance.
      const accepted = output.split('\n').slice(0, -1).map(Number)
      assert.ok(accepted.length >= killAfter)

      const database = GatewayDatabase.open(path, 'power-loss', 1e9)
      const mailbox = new Mailbox(database, new RealClock(), silentLogger, new MemoryMetrics())
      const stored = mailbox
        .page(new Uint8Array(32).fill(1), 0, MESSAGES)
        .map(({ content }) => new DataView(content.buffer).getUint32(0))
      mailbox.close()
      database.close()
      rmSync(scratch, { recursive: true, force: true })
      t.diagnostic(`${accepted.length} accepted, ${stored.length} stored`)
      const present = new Set(stored)
      assert.deepEqual(
        accepted.filter((number) => !present.has(number)),
        [],
      )
      assert.deepEqual(
        stored,
        Array.from({ length: stored.length }, (_, i) => i),
      )
    })
  }
})
