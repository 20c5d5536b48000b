"""The web page and the JSON API: photographs of one plant come in, an identification goes out."""
