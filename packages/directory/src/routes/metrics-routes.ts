/** The counters of a directory for Prometheus, for whoever bears the token. Without a token there is no such route. */
import { equalBytes, type MemoryMetrics, utf8 } from '@mixwright/runtime'
import { prometheusText } from '@mixwright/runtime/node'
import { Hono } from 'hono'

export function metricsRoutes(metrics: MemoryMetrics, token: string): Hono {
  const api = new Hono()
  const expected = utf8(`Bearer ${token}`)
  api.get('/v1/mixwright/metrics', async (context) => {
    if (!equalBytes(utf8(context.req.header('authorization') ?? ''), expected))
      return context.text('the metrics need an access token', 401)
    return context.body(await prometheusText(metrics), 200, {
      'content-type': 'text/plain; version=0.0.4; charset=utf-8',
    })
  })
  return api
}
