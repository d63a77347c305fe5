/** Files that are whole or absent. */
import assert from 'node:assert/strict'
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, it } from 'node:test'
import { utf8 } from '@mixwright/runtime'
import { writeFileAtomically } from '@mixwright/runtime/node'

const scratch = mkdtempSync(join(tmpdir(), 'mixwright-runtime-'))
after(() => rmSync(scratch, { recursive: true, force: true }))

describe('writeFileAtomically', () => {
  it('writes a private file, replaces it, and leaves nothing beside it', () => {
    const directory = mkdtempSync(join(scratch, 'atomic-'))
    const path = join(directory, 'key')
    writeFileAtomically(path, 'one')
    assert.equal(statSync(path).mode & 0o777, 0o600)
    writeFileAtomically(path, utf8('two'), 0o644)
    assert.equal(readFileSync(path, 'utf8'), 'two')
    assert.equal(statSync(path).mode & 0o777, 0o644)
    assert.deepEqual(readdirSync(directory), ['key'])
  })

  it('fails with MIX_FILE_WRITE and leaves the old state', () => {
    const path = join(scratch, 'missing', 'key')
    const expected = { code: 'MIX_FILE_WRITE', kind: 'local', data: { path } }
    assert.throws(() => writeFileAtomically(path, 'x'), expected)
    const directory = mkdtempSync(join(scratch, 'blocked-'))
    const blocked = join(directory, 'key')
    mkdirSync(join(blocked, 'inside'), { recursive: true })
    assert.throws(() => writeFileAtomically(blocked, 'x'), { code: 'MIX_FILE_WRITE' })
    assert.deepEqual(readdirSync(directory), ['key'])
    assert.ok(existsSync(join(blocked, 'inside')))
  })

  it('writes through nothing: a link at the target is replaced, not followed', () => {
    const directory = mkdtempSync(join(scratch, 'link-'))
    const target = join(directory, 'target')
    writeFileSync(target, 'untouched')
    symlinkSync(target, join(directory, 'link'))
    writeFileAtomically(join(directory, 'link'), 'new')
    assert.equal(readFileSync(target, 'utf8'), 'untouched')
    assert.ok(lstatSync(join(directory, 'link')).isFile())
  })
})
