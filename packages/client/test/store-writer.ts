/**
 * A program for the tests of the SQL store: `store-writer FILE` writes numbers for ever, eight calls at a time, each number
 * in two tables at once, and prints a number when its call has resolved. A number that is 100 behind is deleted. It goes on
 * where an earlier run ended. When a call fails it prints the code instead, and ends.
 */
import { writeSync } from 'node:fs'
import { sqlStore } from '../src/store/sql-store.js'

const store = await sqlStore(process.argv[2]!)
let next = Math.max(-1, ...[...(await store.load('outbox')).keys()].map(Number)) + 1

async function writeForEver(): Promise<void> {
  for (;;) {
    const number = next++
    const key = String(number)
    const value = new Uint8Array(1000).fill(number % 256)
    const old = String(number - 100)
    await store.write([
      { table: 'outbox', key, value },
      { table: 'inbox', key, value },
      { table: 'outbox', key: old, value: undefined },
      { table: 'inbox', key: old, value: undefined },
    ])
    writeSync(1, `${number}\n`)
    // A turn of the event loop, so that calls meet in other ways than in step.
    if (number % 3 === 0) await new Promise(setImmediate)
  }
}

try {
  await Promise.all(Array.from({ length: 8 }, writeForEver))
} catch (error) {
  writeSync(1, `${(error as { code: string }).code}\n`)
  process.exit(0)
}
