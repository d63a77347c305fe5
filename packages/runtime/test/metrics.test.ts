/** Counters, gauges and histograms in memory, and their text for Prometheus. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { MemoryMetrics } from '@mixwright/runtime'
import { prometheusText } from '@mixwright/runtime/node'

describe('MemoryMetrics', () => {
  it('gives the same counter for the same name and labels, in whatever order they are written', () => {
    const metrics = new MemoryMetrics()
    metrics.counter('packets', 'Packets', { a: '1', b: '2' }).increment()
    const same = metrics.counter('packets', 'Packets', { b: '2', a: '1' })
    same.increment(4)
    metrics.counter('packets', 'Packets', { a: '1' }).increment(10)
    assert.equal(same.value, 5)
    assert.equal(metrics.value('packets', { b: '2', a: '1' }), 5)
    assert.equal(metrics.value('packets'), 15)
  })

  it('takes what never moved as 0', () => {
    const metrics = new MemoryMetrics()
    assert.equal(metrics.value('nothing'), 0)
    metrics.counter('packets', 'Packets', { reason: 'a' }).increment()
    assert.equal(metrics.value('packets', { reason: 'b' }), 0)
  })

  it('keeps labels apart that would look alike when joined', () => {
    const metrics = new MemoryMetrics()
    metrics.counter('packets', 'Packets', { a: '1","b":"2' }).increment()
    assert.equal(metrics.value('packets', { a: '1', b: '2' }), 0)
  })

  it('asks a gauge with a reading at each look, and a later owner takes it over', () => {
    const metrics = new MemoryMetrics()
    let size = 3
    metrics.gauge('queue', 'Queue', {}, () => size)
    size = 8
    assert.equal(metrics.value('queue'), 8)
    metrics.gauge('queue', 'Queue', {}, () => 1)
    assert.equal(metrics.value('queue'), 1)
    const plain = metrics.gauge('sessions', 'Sessions')
    plain.set(7)
    plain.set(2)
    assert.equal(metrics.value('sessions'), 2)
  })

  it('counts each observation of a histogram in the bucket whose upper end it does not pass', () => {
    const metrics = new MemoryMetrics()
    const waits = metrics.histogram('wait_seconds', 'Waits', [1, 2, 4], { stage: 'a' })
    for (const value of [0, 1, 1.5, 2, 4, 4.5, 1000]) waits.observe(value)
    const family = [...metrics.families()].find(({ type }) => type === 'histogram')
    assert.ok(family?.type === 'histogram')
    assert.deepEqual([...family.samples.values()][0]?.cell.counts, [2, 2, 1, 2])
    assert.deepEqual([waits.count, waits.sum], [7, 1013])
    assert.equal(metrics.histogram('wait_seconds', 'Waits', [9], { stage: 'a' }), waits)
    assert.equal(metrics.histogram('wait_seconds', 'Waits', [1, 2, 4], { stage: 'b' }).count, 0)
  })
})

describe('prometheusText', () => {
  it('renders every family with its help, type, labels and value', async () => {
    const metrics = new MemoryMetrics()
    metrics.counter('mixwright_dropped_packets_total', 'Packets dropped', { reason: 'replay' }).increment(3)
    metrics.counter('mixwright_dropped_packets_total', 'Packets dropped', { reason: 'header-mac' }).increment()
    metrics.gauge('mixwright_sessions', 'Open sessions').set(2)
    assert.deepEqual((await prometheusText(metrics)).trim().split('\n'), [
      '# HELP mixwright_dropped_packets_total Packets dropped',
      '# TYPE mixwright_dropped_packets_total counter',
      'mixwright_dropped_packets_total{reason="replay"} 3',
      'mixwright_dropped_packets_total{reason="header-mac"} 1',
      '',
      '# HELP mixwright_sessions Open sessions',
      '# TYPE mixwright_sessions gauge',
      'mixwright_sessions 2',
    ])
  })

  it('renders histograms with cumulative buckets, sum and count', async () => {
    const metrics = new MemoryMetrics()
    const waits = metrics.histogram('wait_seconds', 'Waits', [0.5, 1], { stage: 'a' })
    for (const value of [0.1, 0.25, 0.75, 3]) waits.observe(value)
    assert.deepEqual((await prometheusText(metrics)).trim().split('\n'), [
      '# HELP wait_seconds Waits',
      '# TYPE wait_seconds histogram',
      'wait_seconds_bucket{stage="a",le="0.5"} 2',
      'wait_seconds_bucket{stage="a",le="1"} 3',
      'wait_seconds_bucket{stage="a",le="+Inf"} 4',
      'wait_seconds_sum{stage="a"} 4.1',
      'wait_seconds_count{stage="a"} 4',
    ])
  })

  it('shows a counter that has not moved, as 0', async () => {
    const metrics = new MemoryMetrics()
    metrics.counter('idle_total', 'Idle')
    metrics.counter('labelled_total', 'Labelled', { a: 'b' })
    const lines = (await prometheusText(metrics)).split('\n')
    assert.ok(lines.includes('idle_total 0'))
    assert.ok(lines.includes('labelled_total{a="b"} 0'))
  })

  it('escapes what a label may not hold, and renders again without having counted twice', async () => {
    const metrics = new MemoryMetrics()
    metrics.counter('odd_total', 'Odd', { text: 'a"b\\c\nd' }).increment()
    const text = await prometheusText(metrics)
    assert.ok(text.includes('odd_total{text="a\\"b\\\\c\\nd"} 1'), text)
    assert.equal(await prometheusText(metrics), text)
  })

  it('renders nothing from nothing', async () => {
    assert.equal((await prometheusText(new MemoryMetrics())).trim(), '')
  })
})
