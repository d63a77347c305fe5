// The command line of the programs here: words, and the options of every client.
import { parseArgs } from 'node:util'
import { sqlStore } from '@mixwright/client'

/** Where `npx mixwright up` has its directory. */
const DIRECTORY_OF_UP = 'http://127.0.0.1:17890/api'

const OPTIONS = `
Options:
  --directory URL  of the network; default: the variable NYM_API, else ${DIRECTORY_OF_UP}
  --profile NAME   default, fast, no-cover or local; what they cost is in docs/guide.md
  --store FILE     keep keys, address and unfinished messages here; default: a new address each time
  --help           print this`

/**
 * Read the command line, which begins with at least `least` and at most `most` words. Gives the words, and what `connect`
 * takes. Prints `usage` and ends the program when that is asked for, or needed.
 */
export async function commandLine(usage, least, most = least) {
  const { words, values } = parse(usage)
  if (values.help) end(0, usage + OPTIONS)
  if (words.length < least || words.length > most) end(2, usage + OPTIONS)
  const { directory, profile, store } = values
  return { words, network: { directory, profile, store: store && (await sqlStore(store)) } }
}

function parse(usage) {
  try {
    const { values, positionals } = parseArgs({
      allowPositionals: true,
      options: {
        directory: { type: 'string', default: process.env.NYM_API || DIRECTORY_OF_UP },
        profile: { type: 'string', default: 'default' },
        store: { type: 'string' },
        help: { type: 'boolean' },
      },
    })
    return { values, words: positionals }
  } catch (error) {
    return end(2, `${error.message}\n\n${usage}${OPTIONS}`)
  }
}

function end(exitCode, text) {
  ;(exitCode === 0 ? console.log : console.error)(text)
  process.exit(exitCode)
}
