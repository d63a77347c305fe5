/** Clients for names and passwords: one each, at most so many, the idle ones go first. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { ExitConnection } from '@mixwright/client'
import { IsolatedExits } from '../src/index.js'

const TARGET = { host: 'name.test', port: 80 }

/** Clients are numbered as they are opened; a connection ends when its test says so. */
function numbered(most: number) {
  const closed: number[] = []
  let opened = 0
  let failure: Error | undefined
  const exits = new IsolatedExits(most, async (signal) => {
    if (failure) throw failure
    signal.throwIfAborted()
    const number = opened++
    const connect = async () => {
      let end = () => {}
      const ended = new Promise<void>((resolve) => {
        end = resolve
      })
      return { requester: String(number), closed: ended, abort: end } as unknown as ExitConnection
    }
    return { exit: { connect }, close: async () => void closed.push(number) }
  })
  /** Which client serves the key, and the connection. */
  const use = async (key: string) => exits.exitFor(key).connect(TARGET)
  const end = async (connection: ExitConnection) => {
    connection.abort()
    await connection.closed
  }
  return {
    exits,
    closed,
    use,
    end,
    fail(reason: Error | undefined) {
      failure = reason
    },
  }
}

describe('isolated exits', () => {
  it('are one client for each key, shared by its connections', async () => {
    const { use } = numbered(8)
    const [a, b, again] = await Promise.all([use('a'), use('b'), use('a')])
    assert.deepEqual([a.requester, b.requester, again.requester], ['0', '1', '0'])
  })

  it('are closed at the bound, the one that was idle longest, and never one in use', async () => {
    const { use, end, closed } = numbered(2)
    const a = await use('a')
    const b = await use('b')
    await assert.rejects(use('c'), { code: 'MIX_EXIT_BUSY', retry: true })
    await end(b)
    const c = await use('c')
    assert.deepEqual([c.requester, closed], ['2', [1]])
    await end(a)
    await end(c)
    // Asked for later than the others, though it was opened first.
    await end(await use('a'))
    await use('d')
    assert.deepEqual(closed, [1, 2])
  })

  it('are tried anew after a failure, which does not count', async () => {
    const { use, fail } = numbered(1)
    fail(new Error('no gateway'))
    await assert.rejects(use('a'), /no gateway/)
    fail(undefined)
    assert.equal((await use('b')).requester, '0')
  })

  it('end together, and no new one comes', async () => {
    const { exits, use, closed } = numbered(8)
    await Promise.all([use('a'), use('b')])
    await exits.close()
    assert.deepEqual(closed.sort(), [0, 1])
    await assert.rejects(use('c'), { code: 'MIX_EXIT_CLOSED' })
  })
})
