// Words of the labelling tools and of the schema builder, which other pages do not load.
import english from "../strings/tools.en.json";
import chinese from "../strings/tools.zh-hans.json";
import { addWords } from "../lib/i18n.js";

addWords(english, chinese);
