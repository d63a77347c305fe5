// A key–value store for people it cannot know: what one of them puts, everybody who knows the key gets. Requests and answers
// are JSON:
//
//   {"put": "colour", "value": "blue"}  →  {"ok": true}
//   {"get": "colour"}                   →  {"value": "blue"}, or {"value": null}
//
//   node examples/key-value-service.mjs my-store
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { serve } from '@mixwright/services'
import { commandLine } from './command-line.mjs'

const USAGE = `Usage: node examples/key-value-service.mjs DIRECTORY [options]

A key-value store for anonymous clients. Values, keys and unfinished messages are kept in DIRECTORY: after a restart the
service has the same address and the same values. Its state is at http://127.0.0.1:PORT/health, which it prints.
`
/** Bounds against strangers: keys, and the length of one with its value. */
const MOST_KEYS = 1000
const LONGEST = 10_000

const { words, network } = await commandLine(USAGE, 1)
const [directory] = words
mkdirSync(directory, { recursive: true })
const file = join(directory, 'values.json')
const values = new Map(existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : [])

/** A message may come again after a crash: to put the same value twice does no harm. */
function answer(message) {
  const { put, get, value } = JSON.parse(message.text())
  if (typeof get === 'string') return { value: values.get(get) ?? null }
  if (typeof put !== 'string' || typeof value !== 'string') return { error: 'put or get' }
  if (put.length + value.length > LONGEST) return { error: 'too long' }
  if (!values.has(put) && values.size >= MOST_KEYS) return { error: 'full' }
  values.set(put, value)
  // Whole or not at all.
  writeFileSync(`${file}.tmp`, JSON.stringify([...values]))
  renameSync(`${file}.tmp`, file)
  return { ok: true }
}

const handler = (message) => {
  try {
    return JSON.stringify(answer(message))
  } catch {
    return JSON.stringify({ error: 'no request' })
  }
}
const { store: _, ...reached } = network
const service = await serve(handler, {
  ...reached,
  dataDirectory: directory,
  health: { host: '127.0.0.1', port: 0 },
  handleSignals: true,
})
console.log(service.address)
console.log(`${service.healthUrl}/health`)
