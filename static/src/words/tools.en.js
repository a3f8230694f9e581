// Words of the labelling tools and of the schema builder, which other pages do not load.
import words from "../strings/tools.en.json";

Object.assign(window.shuyuanWords, words);
