/** The one error class, and loggers that must stay silent. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { MixError, silentLogger } from '@mixwright/runtime'
import { createLogger } from '@mixwright/runtime/node'

describe('MixError', () => {
  it('carries code, kind, data, cause, and by default no advice to try again', () => {
    const cause = new Error('below')
    const error = new MixError('MIX_TEST', 'It failed.', { kind: 'peer', data: { port: 1 }, cause })
    assert.ok(error instanceof Error)
    assert.deepEqual(
      [error.name, error.code, error.kind, error.retry, error.data, error.cause, error.message],
      ['MixError', 'MIX_TEST', 'peer', false, { port: 1 }, cause, 'It failed.'],
    )
    assert.equal(new MixError('MIX_TEST', '', { kind: 'network', retry: true }).retry, true)
    assert.deepEqual(new MixError('MIX_TEST', '', { kind: 'bug' }).data, {})
    assert.equal('cause' in new MixError('MIX_TEST', '', { kind: 'bug' }), false)
  })
})

describe('loggers', () => {
  it('are silent when told so, and so are their children', async () => {
    silentLogger.child({ node: 'x' }).error({}, 'nothing')
    const logger = await createLogger('silent')
    logger.child({ node: 'x' }).error({}, 'nothing')
  })
})
