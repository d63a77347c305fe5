import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, it } from 'node:test'
import { assertOneLine, Run, run } from './running-command.js'

/** Real small file systems; mounting them takes the rights of an administrator, and Linux. */
const directory = mkdtempSync(join(tmpdir(), 'mixwright-disk-'))
const mount = (...args: string[]) => spawnSync('mount', args).status === 0
const mountable = mount('-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', directory)
if (mountable) spawnSync('umount', [directory])
const skip = mountable ? false : 'file systems cannot be mounted here'

describe('a data directory on a bad disk', { skip }, () => {
  after(() => rmSync(directory, { recursive: true, force: true }))

  it('full: one clear line, exit code 1', async () => {
    mount('-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', directory)
    try {
      assertOneLine(
        await run('up', '--port', '0', '--data', directory),
        'MIX_(GATEWAY_DATABASE|FILE_WRITE|DATA_UNUSABLE)',
      )
    } finally {
      spawnSync('umount', [directory])
    }
  })

  it('read-only: one clear line, exit code 1, and the network comes back unharmed once it is writable', async () => {
    mount('-t', 'tmpfs', '-o', 'size=40m', 'tmpfs', directory)
    try {
      const nodes = async () => {
        const up = new Run(['up', '--port', '0', '--data', directory, '--json'])
        const { nodes } = JSON.parse(await up.prints('\n')) as { nodes: { pid: number }[] }
        assert.equal((await up.interrupt()).code, 0)
        return nodes.map(({ pid: _, ...node }) => node)
      }
      const first = await nodes()
      const saved = readFileSync(join(directory, 'network.json'), 'utf8')
      assert.ok(mount('-o', 'remount,ro', directory))
      assertOneLine(await run('up', '--data', directory), 'MIX_DATA_UNUSABLE')
      assert.ok(mount('-o', 'remount,rw', directory))
      assert.equal(readFileSync(join(directory, 'network.json'), 'utf8'), saved)
      assert.deepEqual(await nodes(), first)
    } finally {
      spawnSync('umount', [directory])
    }
  })
})
