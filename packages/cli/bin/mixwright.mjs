#!/usr/bin/env -S node --max-semi-space-size=4
// The `mixwright` command. In a checkout it first installs and builds what is missing or out of date; the published
// package has neither a tsconfig.json beside it nor anything to build.
//
// The young generation is kept at 4 MB: packets live shortly, and in a larger one their bytes pile up until the whole heap is
// searched for what can go (docs/decisions/0013-young-generation.md).
import { existsSync } from 'node:fs'

if (existsSync(new URL('../tsconfig.json', import.meta.url))) {
  const { prepare } = await import('../../../scripts/prepare.mjs')
  await prepare()
}
const { main } = await import('../dist/src/main.js')
process.exitCode = await main(process.argv.slice(2))
