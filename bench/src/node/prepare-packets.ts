/** A process of `preparePackets`: makes one file of packets. Arguments: mean delay in milliseconds, number of the file. */
import { type MeanDelayMs, writePart } from './packet-pool.js'

const [meanDelayMs, part] = process.argv.slice(2).map(Number)
await writePart(meanDelayMs as MeanDelayMs, part!)
